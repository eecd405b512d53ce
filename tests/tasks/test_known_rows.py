"""Rows to fine-tune on from public sets: the real files, and what broken ones say."""

import json
from pathlib import Path
from typing import Any

import pytest

from thinkwright.errors import DataError
from thinkwright.tasks.known_rows import KNOWN_ROWS
from thinkwright.tasks.read import is_file, read_rows, stem_of

# Rows that hold a question and an answer.
COUNTS = {
    "identity": 91,
    "short_instructions": 1100,
    "roleplay": 1923,
    "self_instruct": 175,
    "nq_open": 3610,
    "oasst": 99,  # of one tree nothing is ranked
    "star1": 998,
    "marco_o1": 125,
    "r1_math": 5,
    "s1k": 5,
}
WITH_THOUGHTS = {"star1", "marco_o1", "r1_math", "s1k"}


@pytest.mark.parametrize("name", KNOWN_ROWS)
def test_real_rows_are_whole_and_without_tags(name: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(data_folder))
    rows = [row for _, row in read_rows(f"known:{name}", "data")]
    assert len(rows) == COUNTS[name]
    for row in rows:
        texts = [row["question"], row["answer"], *([row["thought"]] if name in WITH_THOUGHTS else [])]
        assert all(text.strip() == text != "" for text in texts)
        assert (row["thought"] is not None) == (name in WITH_THOUGHTS)
        assert not any(tag in text for text in texts[1:] for tag in ("<think>", "</think>", "Thought>", "Output>"))
        assert "{{" not in row["answer"] or name != "identity"
        assert row["source"] == {"set": name}


def write(folder: Path, name: str, row: dict[str, Any]) -> None:
    path = folder / KNOWN_ROWS[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row) + "\n")


def test_made_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(tmp_path))
    made = {
        "short_instructions": ({"instruction": "Add.", "input": "1, 2", "output": " 3 "}, ("Add.\n\n1, 2", None, "3")),
        "identity": (
            {"instruction": "Who?", "input": "", "output": "{{name}} by {{author}}"},
            ("Who?", None, "Thinkwright by Thinkwright"),
        ),
        "marco_o1": (
            {"instruction": "Q", "response": "<Thought>\nhm\n</Thought>\n<Output>\na\n</Output>"},
            ("Q", "hm", "a"),
        ),
    }
    for name, (row, (question, thought, answer)) in made.items():
        write(tmp_path, name, row)
        [(number, found)] = read_rows(f"known:{name}", "data")
        wanted = {"question": question, "thought": thought, "answer": answer, "source": {"set": name}}
        assert (number, found) == (1, wanted)
    for row in ({"instruction": "Q", "response": "no tags"}, {"instruction": "Q", "response": "<Thought> </Thought>a"}):
        write(tmp_path, "marco_o1", row)
        assert list(read_rows("known:marco_o1", "data")) == []


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THINKWRIGHT_DATA", raising=False)
    with pytest.raises(DataError, match="known:identity: set the environment variable THINKWRIGHT_DATA"):
        list(read_rows("known:identity", "data"))
    with pytest.raises(DataError, match=r"known:idenity: no rows of this name; write one of identity, .* as data"):
        list(read_rows("known:idenity", "data"))
    monkeypatch.setenv("THINKWRIGHT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"identity.jsonl: no such file"):
        list(read_rows("known:identity", "data"))
    write(tmp_path, "identity", {"instruction": "Who?", "output": "I"})
    with pytest.raises(DataError, match=r"identity.jsonl:1: not a row of identity .*'input'.*mend the row"):
        list(read_rows("known:identity", "data"))
    write(tmp_path, "identity", {"instruction": "Who?", "input": "", "output": 3})
    with pytest.raises(DataError, match=r"identity.jsonl:1: not a row of identity"):
        list(read_rows("known:identity", "data"))


def test_a_name_is_no_file() -> None:
    assert not is_file("known:identity")
    assert stem_of("known:identity") == "identity"
