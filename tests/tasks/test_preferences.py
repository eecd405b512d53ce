"""Preference pairs: what is read, and what is refused with its place and the remedy."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from thinkwright.errors import DataError
from thinkwright.tasks.preferences import PreferencePair, Response, every_pair, read_pairs

GOOD: dict[str, Any] = {"question": "Who?", "chosen": "A", "rejected": "B"}


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_all_of_a_row_is_read(tmp_path: Path) -> None:
    row = GOOD | {"chosen_thought": "hm", "first": "rejected", "votes": [1, -0.5, 0], "language": "en", "source": {}}
    path = write(tmp_path / "a.jsonl", row)
    assert read_pairs([path], both_sides=True) == [
        PreferencePair(
            f"{path}:1", "Who?", Response("hm", "A"), Response(None, "B"), "rejected", (1.0, -0.5, 0.0), "en"
        )
    ]


def test_null_is_as_good_as_nothing_and_files_follow_each_other(tmp_path: Path) -> None:
    empty = GOOD | dict.fromkeys(("chosen_thought", "rejected_thought", "first", "votes", "language"))
    pairs = read_pairs([write(tmp_path / "a.jsonl", GOOD), write(tmp_path / "b.jsonl", empty)], both_sides=True)
    assert [pair.place for pair in pairs] == [f"{tmp_path}/a.jsonl:1", f"{tmp_path}/b.jsonl:1"]
    assert pairs[0].chosen == pairs[1].chosen
    assert pairs[1].votes == ()


def test_the_same_answers_after_other_thoughts_are_a_pair(tmp_path: Path) -> None:
    row = GOOD | {"rejected": "A", "rejected_thought": "hm"}
    assert read_pairs([write(tmp_path / "a.jsonl", row)], both_sides=True)[0].rejected == Response("hm", "A")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": None}, "no question; write question, chosen and rejected"),
        ({"question": "  "}, "question is empty"),
        ({"question": 3}, "question is not text"),
        ({"question": "\ud800?"}, "question holds half a character"),
        ({"chosen": None, "rejected": None}, "neither chosen nor rejected"),
        ({"chosen": ""}, "chosen is empty; write one, null, or take the row out"),
        ({"rejected": ["B"]}, "rejected is not text"),
        ({"rejected": "A"}, "chosen and rejected are the same"),
        ({"rejected": "B \udfff"}, "rejected holds half a character"),
        ({"chosen": "<think>hm</think> A"}, "chosen holds <think>; give thoughts in chosen_thought"),
        ({"chosen_thought": "hm</think>"}, "chosen_thought holds </think>"),
        ({"rejected": None, "rejected_thought": "hm"}, "rejected_thought stands without rejected"),
        ({"first": "left"}, "first is 'left'; write chosen or rejected"),
        ({"first": ["chosen"]}, r"first is \['chosen'\]"),
        ({"votes": 3}, "votes is no list of numbers"),
        ({"votes": [1, True]}, "votes is no list of numbers"),
        ({"votes": [10**400]}, "votes is no list of numbers; .*none beyond 1,000,000"),
        ({"votes": [1, "1"]}, "votes is no list of numbers"),
        ({"votes": [float("nan")]}, "votes is no list of numbers"),
        ({"language": 1}, "language is not text"),
    ],
)
def test_a_broken_row_is_named_with_the_remedy(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, GOOD | change)
    with pytest.raises(DataError, match=words) as caught:
        read_pairs([path], both_sides=False)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_files_without_pairs_or_with_one_side_are_refused(tmp_path: Path) -> None:
    good = GOOD | {"rejected": None}
    bad = GOOD | {"chosen": None}
    empty, only_good = write(tmp_path / "empty.jsonl"), write(tmp_path / "good.jsonl", good, good)
    with pytest.raises(DataError, match=r"empty.jsonl: holds no pair"):
        read_pairs([empty], both_sides=False)
    with pytest.raises(DataError, match=r"good.jsonl: one-sided: no row has a rejected response"):
        read_pairs([only_good], both_sides=False)
    with pytest.raises(DataError, match="one-sided: no row has a chosen response"):
        read_pairs([write(tmp_path / "bad.jsonl", bad)], both_sides=False)
    both = [only_good, write(tmp_path / "bad.jsonl", bad)]
    assert len(read_pairs(both, both_sides=False)) == 3
    with pytest.raises(DataError, match=r"good.jsonl:1: has one side only; .*pointwise"):
        read_pairs(both, both_sides=True)
    assert len(every_pair([only_good])) == 2


def test_known_pairs_are_read_by_name_and_a_test_set_is_not_learned_from(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(data_folder))
    counts = {"hh_rlhf_harmless": 2002, "pandalm": 854, "oasst": 754, "short_instructions": 1094}
    for name, count in counts.items():
        assert len(read_pairs([f"known:{name}"], both_sides=True)) == count
    safe = every_pair(["known:star1"])
    assert len(safe) == 998
    assert all(pair.rejected is None and pair.chosen and pair.chosen.thought for pair in safe)
    with pytest.raises(DataError, match="known:llmbar: a set to test reward models with"):
        read_pairs(["known:llmbar"], both_sides=True)


def test_known_pairs_say_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("THINKWRIGHT_DATA", raising=False)
    with pytest.raises(DataError, match="known:oasst: set the environment variable THINKWRIGHT_DATA"):
        read_pairs(["known:oasst"], both_sides=True)
    with pytest.raises(DataError, match="known:oast: no pairs of this name; write one of hh_rlhf_harmless"):
        read_pairs(["known:oast"], both_sides=True)
    monkeypatch.setenv("THINKWRIGHT_DATA", str(tmp_path))
    (tmp_path / "oasst_en_100_trees").mkdir()
    (tmp_path / "oasst_en_100_trees" / "en_100_tree.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "hi"}\n'))
    with pytest.raises(DataError, match=r"en_100_tree.jsonl.gz:1: not a row of oasst .*mend the row"):
        read_pairs(["known:oasst"], both_sides=True)
