"""Errors: what is told of one that came while another was dealt with."""

import errno

import pytest

from thinkwright.errors import GraderError, RunFolderError, ThinkwrightError, told_in_full


def save(path: str) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from error


def test_what_comes_while_an_error_is_dealt_with_does_not_hide_it() -> None:
    def grade() -> None:
        try:
            raise GraderError("the grader died")
        except GraderError:
            save("checkpoint")
            raise

    with pytest.raises(RunFolderError) as caught:
        grade()
    told = "the grader died\nand then: checkpoint: cannot be written (No space left on device)"
    assert told_in_full(caught.value) == told


def test_what_an_error_was_made_of_is_not_told_twice() -> None:
    def grade() -> None:
        try:
            raise GraderError("it died")
        except GraderError as error:
            raise RunFolderError(f"stopped: {error}") from error

    with pytest.raises(RunFolderError) as caught:
        grade()
    assert told_in_full(caught.value) == "stopped: it died"
    assert told_in_full(ThinkwrightError("alone")) == "alone"
