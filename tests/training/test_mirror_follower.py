"""A run is mirrored whole and each step once, while it goes on, after it was resumed, and after it has ended."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.mirrored_runs import add_evaluation, add_steps, needs, say, tensorboard_holds, write_run
from thinkwright.config.mirror import MirrorSettings
from thinkwright.errors import RunFolderError
from thinkwright.run_folder import drop_later, read_json
from thinkwright.training.mirrors.follower import (
    SHOWN_CHARACTERS,
    SHOWN_COMPLETIONS,
    GrowingFile,
    Standing,
    default_name,
    follow,
    has_ended,
)

TENSORBOARD = MirrorSettings(to=("tensorboard",))


def looks(*happenings: Callable[[], object]) -> Callable[[float], bool]:
    """A wait during which these things happen, one a look; then the run is over."""
    left = list(happenings)

    def wait(_: float) -> bool:
        if left:
            left.pop(0)()
        return not left

    return wait


def mirror(folder: Path, *happenings: Callable[[], object]) -> Standing:
    return follow(folder, "tensorboard", TENSORBOARD, looks(*happenings))


def test_a_file_that_grows_gives_whole_rows_once_and_all_of_another_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = GrowingFile(path)
    assert file.new_rows() == []
    path.write_text('{"step": 0}\n{"step": 1}\n{"st')
    assert [row["step"] for row in file.new_rows()] == [0, 1]
    with path.open("a") as more:
        more.write('ep": 2}\nbroken\n[1]\n{"step": 3}\n')
    assert [row["step"] for row in file.new_rows()] == [2, 3]
    assert file.new_rows() == []
    (tmp_path / "other").write_text('{"step": 0}\n' * 9)
    os.replace(tmp_path / "other", path)
    assert len(file.new_rows()) == 9
    path.write_text('{"step": 7}\n')
    assert file.new_rows() == [{"step": 7}]


def test_a_run_that_grows_is_sent_as_it_grows(tmp_path: Path) -> None:
    needs("tensorboard")
    folder, seen = tmp_path / "run", []
    add_evaluation(folder, 0)
    say(folder, "started")

    def look() -> None:
        seen.append(len(tensorboard_holds(folder)[0].get("train/reward", [])))

    mirror(
        folder,
        lambda: None,
        lambda: add_steps(folder, 0, 1),
        look,
        lambda: add_steps(folder, 2),
        look,
        lambda: say(folder, "interrupted"),
    )
    assert seen == [2, 3]
    scalars, texts = tensorboard_holds(folder)
    assert scalars["train/reward"] == [(0, 0.0), (1, 0.125), (2, 0.25)]
    assert scalars["eval/accuracy"] == [(0, 0.0)]
    assert len(texts["eval/completions/text_summary"]) == 1


def test_an_evaluation_that_no_step_follows_yet_is_sent_with_that_step(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    add_steps(folder, 0, 1)
    say(folder, "started")
    add_evaluation(folder, 2)
    assert mirror(folder).next_step == 2
    assert "eval/accuracy" not in tensorboard_holds(folder)[0]
    add_steps(folder, 2)
    assert mirror(folder).next_step == 3
    assert tensorboard_holds(folder)[0]["eval/accuracy"] == [(2, 0.5)]


def test_a_resumed_run_goes_on_where_its_mirror_is(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    say(folder, "started")
    add_steps(folder, *range(5))
    assert mirror(folder).next_step == 5
    first = read_json(folder / "mirrors" / "tensorboard.json")

    def resume() -> None:
        say(folder, "resumed")
        drop_later(folder, 3)

    last = mirror(folder, resume, lambda: add_steps(folder, 3, 4), lambda: add_steps(folder, 5, 6))
    assert [step for step, _ in tensorboard_holds(folder)[0]["train/reward"]] == list(range(7))
    assert (last.run_id, last.name, last.next_step) == (first["run_id"], first["name"], 7)


def test_what_is_sent_already_opens_nothing(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = write_run(tmp_path / "run")
    mirror(folder)
    files = list((folder / "mirrors" / "tensorboard").iterdir())
    assert mirror(folder).next_step == 4
    assert list((folder / "mirrors" / "tensorboard").iterdir()) == files


def test_another_place_gets_everything(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = write_run(tmp_path / "run")
    before = mirror(folder)
    settings = MirrorSettings(to=("tensorboard", "trackio"), project="other")
    after = follow(folder, "tensorboard", settings, looks())
    assert (before.project, after.project) == ("thinkwright", "other")
    assert before.run_id != after.run_id
    assert len(tensorboard_holds(folder)[0]["train/reward"]) == 6


def test_what_was_sent_before_a_failure_is_not_sent_again(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    add_steps(folder, 0, 1, 2)
    (folder / "eval").mkdir()
    broken = folder / "eval" / "step_000003.json"
    broken.write_text("{")
    with pytest.raises(RunFolderError):
        mirror(folder, lambda: None, lambda: add_steps(folder, 3))
    broken.unlink()
    mirror(folder)
    assert [step for step, _ in tensorboard_holds(folder)[0]["train/reward"]] == [0, 1, 2, 3]


def test_no_two_processes_send_the_same(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = write_run(tmp_path / "run")

    def second() -> None:
        with pytest.raises(RunFolderError, match="another process sends this run to tensorboard already"):
            mirror(folder)

    assert mirror(folder, second).next_step == 4
    assert len(tensorboard_holds(folder)[0]["train/reward"]) == 3


def test_texts_are_few_short_and_no_markup(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = write_run(tmp_path / "run")
    mirror(folder)
    text = tensorboard_holds(folder)[1]["eval/completions/text_summary"][0]
    assert text.count("**question**") == SHOWN_COMPLETIONS
    assert len(text) < SHOWN_COMPLETIONS * (SHOWN_CHARACTERS + 500)
    assert "more characters)" in text
    # A line that a text brought in stands in a block of code: four spaces before it.
    assert all(line.startswith("    ") for line in text.splitlines() if "<script>" in line or "# heading" in line)
    assert "<script>" in text


@pytest.mark.parametrize(
    ("path", "name"), [("runs/demo", "demo"), ("runs/r1-seed0/stages/03-dev1", "r1-seed0-03-dev1")]
)
def test_a_run_is_called_as_its_folder(path: str, name: str, tmp_path: Path) -> None:
    assert default_name(tmp_path / path) == name


def test_a_run_ends_when_it_says_so_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    assert not has_ended(tmp_path)
    for event, ended in (("started", False), ("alarm", False), ("interrupted", True), ("resumed", False)):
        say(tmp_path, event)
        assert has_ended(tmp_path) == ended
    say(tmp_path, "finished")
    say(tmp_path, "mirror_given_up")
    assert has_ended(tmp_path)
