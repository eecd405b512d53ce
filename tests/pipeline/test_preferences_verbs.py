"""``thinkwright preferences``: import, check, split, agreement, as a user calls them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.preference_files import make_pairs, make_singles, write_pairs
from thinkwright.cli import main
from thinkwright.tasks.preferences import read_pairs
from thinkwright.training.sft_data import question_share

Told = Callable[..., str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Call a verb and give back what it says; in error if ``expect`` is 1."""

    def call(*words: object, expect: int = 0) -> str:
        assert main(["preferences", *map(str, words)]) == expect
        captured = capsys.readouterr()
        text = captured.err if expect else captured.out
        if expect:
            assert len(text.strip().splitlines()) == 1
        return text

    return call


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_import_writes_our_form_and_counts_what_it_leaves_out(told: Told, tmp_path: Path) -> None:
    two = {"instruction": "加。", "input": "1", "response1": "a", "response2": "b"}
    votes = [(1, 1, 2), (0, 0, 0), (2, 2, 2)]
    rows = [two | {f"annotator{i}": vote for i, vote in enumerate(found, 1)} for found in votes]
    source = write_pairs(tmp_path / "theirs.jsonl", [*rows, two | {"response1": "b", "label": 1}])
    said = told("import", source, "--out", tmp_path / "ours.jsonl")
    assert "ours.jsonl: 2 rows from" in said
    assert "1 rows left out: a tie" in said
    assert "1 rows left out: the same on both sides" in said
    first, second = rows_of(tmp_path / "ours.jsonl")
    assert first == {
        "question": "加。\n\n1", "chosen": "a", "rejected": "b", "first": "chosen", "votes": [1, 1, -1],
        "source": {"set": "theirs", "row": 1}, "language": "zh",
    }  # fmt: skip
    assert (second["chosen"], second["votes"], second["source"]["row"]) == ("b", [1, 1, 1], 3)
    assert len(read_pairs([str(tmp_path / "ours.jsonl")], both_sides=True)) == 2
    assert "is there already" in told("import", source, "--out", tmp_path / "ours.jsonl", expect=1)
    told("import", source, "--out", tmp_path / "ours.jsonl.gz")
    assert gzip.decompress((tmp_path / "ours.jsonl.gz").read_bytes()) == (tmp_path / "ours.jsonl").read_bytes()


def test_import_refuses_what_holds_no_preference(told: Told, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out.jsonl")
    tie = {"prompt": "Q", "response1": "a", "response2": "b", "label": 0}
    ties = write_pairs(tmp_path / "ties.jsonl", [tie])
    assert "no row holds a preference (1 rows left out: a tie)" in told("import", ties, *out, expect=1)
    other = write_pairs(tmp_path / "other.jsonl", [{"text": "x"}])
    assert f"{other}:1: no known form of preferences" in told("import", other, *out, expect=1)
    assert "xstest: has prompts without responses" in told("import", "xstest", *out, expect=1)
    assert "neither a file nor one of the sets hh_rlhf_harmless" in told("import", "hh", *out, expect=1)
    assert "no such file" in told("import", tmp_path / "none.jsonl", *out, expect=1)
    assert not (tmp_path / "out.jsonl").exists()


def test_import_of_a_set_for_testing_says_so(
    told: Told, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(data_folder))
    said = told("import", "llmbar", "--out", tmp_path / "llmbar.jsonl")
    assert "note: llmbar was made to test reward models with; do not train on it" in said
    rows = rows_of(tmp_path / "llmbar.jsonl")
    assert [row["first"] for row in rows].count("chosen") == 206
    assert len(rows) == 419


def test_check_says_what_may_mislead(told: Told, tmp_path: Path) -> None:
    rows = make_pairs(4)
    again = rows[0] | {"question": rows[0]["question"].upper()}
    contrary = {"question": rows[1]["question"], "chosen": rows[1]["rejected"], "rejected": rows[1]["chosen"]}
    swapped = contrary | {"rejected_thought": rows[1]["chosen_thought"], "language": "zh"}
    path = write_pairs(tmp_path / "pairs.jsonl", [*rows, again, swapped, *make_singles(6)[4:]])
    said = told("check", path).splitlines()
    assert said[0] == "8 rows: 6 with both sides, 1 with a chosen one alone, 1 with a rejected one alone"
    assert said[1] == "languages: en 7, zh 1"
    assert f"duplicates: 1 ({path}:5 as {path}:1)" in said
    assert f"contradictions: 1 ({path}:6 against {path}:2)" in said
    assert "single responses: fit for loss = pointwise alone" in said
    assert any(line.startswith("length: the longer one chosen in ") for line in said)
    assert any(line.startswith("position: the one shown first chosen in ") and line.endswith("of 7") for line in said)


def test_length_and_position_by_hand(told: Told, tmp_path: Path) -> None:
    answers = [("aaa", "b"), ("aa", "b"), ("a", "bb"), ("a", "b"), ("aa", "b")]
    firsts = ["chosen", "chosen", "rejected", "chosen", None]
    rows = [
        {"question": f"{i}?", "chosen": chosen, "rejected": rejected, "first": first}
        for i, ((chosen, rejected), first) in enumerate(zip(answers, firsts, strict=True))
    ]
    said = told("check", write_pairs(tmp_path / "pairs.jsonl", rows))
    assert "the longer one chosen in 75.0%" in said
    assert "the one shown first chosen in 75.0% +- 21.7% of 4" in said


def test_check_refuses_as_the_stage_would(told: Told, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", [*make_pairs(2), {"question": "Q?", "chosen": "a", "rejected": "a"}])
    assert f"{path}:3: chosen and rejected are the same; take the row out" in told("check", path, expect=1)
    good = write_pairs(tmp_path / "good.jsonl", [{"question": "Q?", "chosen": "a"}])
    assert "one-sided" in told("check", good, expect=1)


def test_split_keeps_equal_questions_together_and_leaves_the_stage_its_own(told: Told, tmp_path: Path) -> None:
    rows = make_pairs(60)
    path = write_pairs(
        tmp_path / "pairs.jsonl", [*rows, *(row | {"question": row["question"].upper()} for row in rows)]
    )
    said = told("split", path, "--share", "0.2", "--out", tmp_path / "parts")
    training, held_out = (rows_of(tmp_path / "parts" / f"{name}.jsonl") for name in ("training", "held_out"))
    assert f"held_out.jsonl: {len(held_out)} rows" in said
    assert len(training) + len(held_out) == 120
    folded = [{row["question"].casefold() for row in part} for part in (training, held_out)]
    assert not folded[0] & folded[1]
    assert len(held_out) == 2 * len(folded[1]) > 0
    # The stage's held-out questions, at the other end, are all in what is left.
    assert any(question_share(row["question"]) < 0.1 for row in training)
    assert all(question_share(row["question"]) >= 0.8 for row in held_out)
    assert "is there already" in told("split", path, "--out", tmp_path / "parts", expect=1)
    one = write_pairs(tmp_path / "one.jsonl", rows[:1])
    assert "no row would be" in told("split", one, "--out", tmp_path / "other", expect=1)
    assert not (tmp_path / "other").exists()


def test_agreement(told: Told, tmp_path: Path) -> None:
    rows = [row | {"votes": votes} for row, votes in zip(make_pairs(3), ([1, 1], [-1, -2], [1]), strict=True)]
    said = told("agreement", write_pairs(tmp_path / "pairs.jsonl", rows)).splitlines()
    assert said[:5] == [
        "2 pairs with 4 votes",
        "all judges agree: 100.0%",
        "votes with the majority: 100.0%",
        "ties: 0.0%",
        "stored choice against the majority: 50.0%",
    ]
    assert said[5].startswith("Krippendorff's alpha: 1.000")
    bare = write_pairs(tmp_path / "bare.jsonl", [{"question": "Q?", "chosen": "a", "rejected": "b", "votes": [1]}])
    assert f"{bare}: no row has two votes or more" in told("agreement", bare, expect=1)


def test_the_share_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["preferences", "split", "pairs.jsonl", "--share", "1", "--out", str(tmp_path)])
