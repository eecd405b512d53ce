"""Pairs that a judge found clearly different become preference rows; what was judged is not asked about again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.models.served import chat_reply, serving
from thinkwright.cli import main
from thinkwright.config.judge import Judge
from thinkwright.errors import DataError, EndpointError, GraderError, RunFolderError
from thinkwright.pipeline.judged_pairs import judge_file
from thinkwright.tasks.preferences import read_pairs

ROWS = [
    {"question": "Why is the sky blue today?", "first": "good", "second": "bad", "second_thought": "I guess."},
    {"question": "为什么天是蓝的？", "responses": ["bad", "good"]},
    {"question": "Who are you?", "first": "bad one", "second": "bad two"},
    {"question": "Hello!", "first": "order", "second": "order too", "language": "en"},
]


@contextmanager
def judging(lives: int = 10**9, nonsense: bool = False, **others: Any) -> Iterator[tuple[Judge, list[str]]]:
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
        yield Judge(url=url, name="judge", timeout_seconds=5, retries=0, concurrency=1, **others), asked


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


def test_an_outage_loses_nothing_that_was_judged(file: Path, tmp_path: Path) -> None:
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


def test_a_resumed_command_counts_what_was_judged_before(tmp_path: Path) -> None:
    """Rows that had no verdict are all that is asked about, and are still few of all rows."""
    path, out = tmp_path / "rows.jsonl", tmp_path / "pairs.jsonl"
    texts = [("good", f"bad {i}") for i in range(38)] + [("mute", "a"), ("mute", "b")]
    path.write_text("".join(json.dumps({"question": "Why?", "first": a, "second": b}) + "\n" for a, b in texts))

    def answer(_: str, body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        a_is_good = text.split("=== RESPONSE A ")[1].split("\n")[1] == "good"
        return chat_reply("Hm." if "mute" in text else json.dumps({"verdict": "A>>B" if a_is_good else "B>>A"}))

    with serving(answer) as url:
        judge = Judge(url=url, name="judge", timeout_seconds=5, retries=0, concurrency=4, tries=1)
        counts = judge_file(str(path), out, judge)
        assert (counts["pairs"], counts["left_out"]["no verdict"]) == (38, 2)
        again = judge_file(str(path), out, judge)
    assert (again["asked"], again["pairs"], again["left_out"]["no verdict"]) == (2, 38, 2)


def test_rows_are_not_written_over(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(file)
    journal = tmp_path / "pairs.jsonl.journal.jsonl"
    journal.write_bytes(before)
    with judging() as (judge, asked):
        for read, out in ((file, file), (file, tmp_path / "link.jsonl"), (journal, tmp_path / "pairs.jsonl")):
            with pytest.raises(RunFolderError, match="would be written over the rows to be judged; give another file"):
                judge_file(str(read), out, judge)
    assert (file.read_bytes(), journal.read_bytes(), asked) == (before, before, [])


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"digest": "a", "votes": [1]}', '{"digest": "a", "votes": [1, 2, 3, 0]}', '{"digest": 1}',
     '{"digest": "a", "votes": "abcd"}', '{"digest": 1, "votes": [1, 1, 1, 1]}', "\udcff"],
)  # fmt: skip
def test_a_damaged_line_of_the_journal_is_named(line: str, file: Path, tmp_path: Path) -> None:
    whole = '{"digest": "b", "votes": [1, 1, 1, 1]}\n'
    journal = tmp_path / "pairs.jsonl.journal.jsonl"
    journal.write_bytes(f"{whole}{line}\n{whole}".encode(errors="surrogateescape"))
    with (
        judging() as (judge, _),
        pytest.raises(DataError, match=r"journal\.jsonl:2: holds no judgement; take the line"),
    ):
        judge_file(str(file), tmp_path / "pairs.jsonl", judge)


def test_the_command_line_says_how_the_judge_is_reached(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["preferences", "judge", str(file), "--out", str(tmp_path / "pairs.jsonl"), "--name", "judge"]
    sent: list[dict[str, Any]] = []

    def answer(_: str, body: dict[str, Any]) -> Any:
        sent.append(body)
        return chat_reply("Hm.")

    with serving(answer) as url:
        limits = ["--tries", "1", "--max-tokens", "7", "--timeout", "2.5", "--retries", "0"]
        assert main([*command, "--url", url, *limits]) == 1
    assert "have no verdict of judge that can be read after 1 tries" in capsys.readouterr().err
    assert {body["max_tokens"] for body in sent} == {7}
    assert main([*command, "--url", url, *limits]) == 1
    assert "no reply in 1 tries" in capsys.readouterr().err
    for wrong in (["--url", "http://a..b/v1"], ["--url", url, "--timeout", "nan"], ["--url", url, "--retries", "-1"]):
        with pytest.raises(SystemExit):
            main([*command, *wrong])
    assert "is no address of a server; write it like" in capsys.readouterr().err
