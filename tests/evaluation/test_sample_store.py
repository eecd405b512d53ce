"""Half a suite is never lost, and samples drawn otherwise are never mixed in."""

from dataclasses import replace
from pathlib import Path

import pytest

from thinkwright.errors import DataError
from thinkwright.evaluation.sample_store import Completion, SampleStore
from thinkwright.types import Prompt

SETTINGS = {"suite": "tiny_world", "temperature": 0.6, "samples": 2}
A = Prompt("a", "1+1?", "User: 1+1?", "number", "2", "2", "r1_zero", "sums", 1, "en")
B = replace(A, prompt_id="b", question="2+2?", text="User: 2+2?")
TWO = [Completion("<think>é", "length", 3, (1, 2, 3)), Completion("\u2028two", "stop", 9, num_thinking_tokens=4)]


def test_what_was_added_is_read_back_and_not_missing(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "deep" / "free.jsonl", SETTINGS)
    assert store.missing([A, B]) == [A, B]
    store.add(A, TWO)
    again = SampleStore(store.path, SETTINGS)
    assert again.missing([A, B]) == [B]
    assert again.completions(A) == tuple(TWO)


def test_a_question_whose_text_has_changed_is_asked_again(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "free.jsonl", SETTINGS)
    store.add(A, TWO)
    assert SampleStore(store.path, SETTINGS).missing([replace(A, text="Q: 1+1?")])


def test_a_line_that_a_crash_cut_off_is_taken_away(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "free.jsonl", SETTINGS)
    store.add(A, TWO)
    whole = store.path.read_bytes()
    store.add(B, TWO)
    full = store.path.read_bytes()
    for size in range(len(whole) + 1, len(full), 7):
        store.path.write_bytes(full[:size])
        again = SampleStore(store.path, SETTINGS)
        assert again.missing([A, B]) == [B]
        assert store.path.read_bytes() == whole
    again.add(B, TWO)
    assert SampleStore(store.path, SETTINGS).missing([A, B]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"settings": {"suite": "tiny_world", "temperature": 1.0, "samples": 2}}\n', r"temperature = 1\.0, not 0\.6"),
        ('{"settings": {"suite": "tiny_world", "temperature": 0.6}}\n', "samples = None, not 2"),
        ("hello\n", "no samples of `thinkwright eval`"),
        (
            '{"settings": {"suite": "tiny_world", "temperature": 0.6, "samples": 2}}\n{"prompt_id": 1}\n',
            ":2: is damaged",
        ),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "free.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        SampleStore(path, SETTINGS)
    assert path.read_text(encoding="utf-8") == text
