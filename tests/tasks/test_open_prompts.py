"""Questions without a rule: every different one once, with what a judge may hold answers against."""

import json
from pathlib import Path

import pytest

from thinkwright.config.tasks import PromptsTask
from thinkwright.errors import DataError
from thinkwright.tasks.prompts import load_task


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_questions_are_read_once_and_asked_in_the_template(tmp_path: Path) -> None:
    rows = [{"q": "Write a line.", "a": "A line."}, {"q": "Write a line.", "a": "B"}, {"q": "x" * 30, "a": "C"}]
    path = write(tmp_path / "open.jsonl", rows)
    settings = PromptsTask(type="prompts", data=(path,), column="q", reference_column="a", max_question_characters=20)
    task = load_task(settings, "think_summary")
    [prompt] = task.all_prompts()
    assert (prompt.question, prompt.reference, prompt.verifier, prompt.family) == (
        "Write a line.",
        "A line.",
        "",
        "open",
    )
    assert prompt.question in prompt.text.removeprefix(prompt.question)
    assert task.held_out == ()
    assert len({p.prompt_id for p in task.prompts(seed=0, step=0, count=3)}) == 3
    assert task.notes() == [f"{path}: 3 rows, 1 different questions used, 1 repeated, 1 too long"]
    assert task.report["training"]["left_out"] == {"repeated": 1, "too_long": 1}


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"question": " "}], ":1: column 'question' is no text"),
        ([{"q": "a"}], "no column 'question', only 'q'; set task.column"),
        (
            [{"question": "aaaa"}],
            r"no question is left, since all 1 are longer than task.max_question_characters = 2; raise it",
        ),
        ([], r"open.jsonl: holds no row; give questions, or take it out of task.data"),
        ([{"question": "\ud800"}], r":1: column 'question' holds half a character"),
    ],
)
def test_what_cannot_be_asked_is_named(rows: list[dict[str, object]], text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "open.jsonl", rows)
    with pytest.raises(DataError, match=text):
        load_task(PromptsTask(type="prompts", data=(path,), max_question_characters=2))
