"""Pairs that a judge found clearly different become preference rows; what was judged is not asked about again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.models.served import chat_reply, serving
from thinkwright.config.judge import Judge
from thinkwright.errors import DataError, EndpointError, GraderError
from thinkwright.pipeline.judged_pairs import judge_file
from thinkwright.tasks.preferences import read_pairs

ROWS = [
    {"question": "Why is the sky blue today?", "first": "good", "second": "bad", "second_thought": "I guess."},
    {"question": "为什么天是蓝的？", "responses": ["bad", "good"]},
    {"question": "Who are you?", "first": "bad one", "second": "bad two"},
    {"question": "Hello!", "first": "order", "second": "order too", "language": "en"},
]


@contextmanager
def judging(lives: int = 10**9, nonsense: bool = False) -> Iterator[tuple[Judge, list[str]]]:
    """A judge that likes what is called good, dies after ``lives`` requests, and keeps what it was asked."""
    asked: list[str] = []

    def answer(path: str, body: dict[str, Any]) -> Any:
        asked.append(body["messages"][-1]["content"])
        if len(asked) > lives:
            return 503, "down"
        a, b = (asked[-1].split(f"=== RESPONSE {name} ")[1].split("\n")[1] for name in "AB")
        found = "A>>B" if a == "good" else "B>>A" if b == "good" else "A>B" if "order" in a else "A=B"
        return chat_reply("Bananas!" if nonsense else json.dumps({"analysis": "I looked.", "verdict": found}))

    with serving(answer) as url:
        yield Judge(url=url, name="judge", timeout_seconds=5, retries=0, concurrency=1), asked


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "responses.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_clear_pairs_are_written_as_preferences_and_all_are_counted(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    with judging() as (judge, asked):
        counts = judge_file(str(file), out, judge)
    assert counts == {
        "rows": 4,
        "asked": 4,
        "pairs": 2,
        "left_out": {"too close": 2, "no verdict": 0},
        "order_changed_share": 2 / 8,
        "mean_for_shown_first": 1 / 4,
    }
    assert len(asked) == 16
    assert not any("I guess." in text for text in asked)
    pairs = read_pairs([str(out)], both_sides=True)
    assert [(p.chosen and p.chosen.answer, p.rejected and p.rejected.answer) for p in pairs] == [("good", "bad")] * 2
    assert [(p.first, p.votes, p.language) for p in pairs] == [
        ("chosen", (2, 2, 2, 2), "en"),
        ("rejected", (2, 2, 2, 2), "zh"),
    ]
    assert pairs[0].rejected is not None
    assert pairs[0].rejected.thought == "I guess."
    sources = [json.loads(line)["source"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert sources == [{"file": str(file), "row": row, "judge": "judge"} for row in (1, 2)]


def test_an_outage_loses_nothing_that_was_judged(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkwright.pipeline.judged_pairs._BATCH", 1)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "pairs.jsonl"
    with judging() as (judge, _):
        judge_file(str(file), whole, judge)
    with judging(lives=6) as (judge, _), pytest.raises(EndpointError, match="start the server"):
        judge_file(str(file), out, judge)
    assert not out.exists()
    journal = tmp_path / "pairs.jsonl.journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"digest": "cut o')
    with judging() as (judge, asked):
        assert judge_file(str(file), out, judge)["asked"] == 3
        assert len(asked) == 12
        assert judge_file(str(file), out, judge)["asked"] == 0
        assert len(asked) == 12
    assert out.read_bytes() == whole.read_bytes()


def test_nonsense_is_an_error_and_is_asked_about_again(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    with judging(nonsense=True) as (judge, _), pytest.raises(GraderError, match="of 4 items 4 have no verdict"):
        judge_file(str(file), out, judge)
    with judging() as (judge, _):
        assert judge_file(str(file), out, judge)["asked"] == 4


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "Why?", "first": "a"}, ":1: second is no text"),
        ({"question": "Why?", "first": "a", "second": "a"}, "both responses are the same"),
        ({"question": "Why?", "responses": ["a"]}, "responses holds 1 texts; give two"),
        ({"question": "Why?", "first": "<think>a</think> b", "second": "c"}, "first holds <think>; give thoughts in"),
        ({"question": "Why?", "first": "\ud800", "second": "c"}, "half a character"),
    ],
)
def test_a_broken_row_is_named(row: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(json.dumps(row))
    with judging() as (judge, asked), pytest.raises(DataError, match=words):
        judge_file(str(path), tmp_path / "out.jsonl", judge)
    assert not asked
