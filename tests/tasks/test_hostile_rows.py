"""Rows from anywhere: whatever bytes they are, they are read or refused in words, and fill no memory."""

import gzip
import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thinkwright.errors import DataError
from thinkwright.tasks.preferences import every_pair
from thinkwright.tasks.read import MAX_LINE_BYTES, read_rows

HOSTILE = [
    b'{"question": "\xff\xfe"}',
    b'{"question": "a", "answer": NaN, "n": ' + b"9" * 1_000_000 + b"}",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"question": "\\ud800"}',
    b"\x00" * 100,
    b'"just a text"',
    b"{}{}",
    b"\x1f\x8b\x08 no archive",
]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:12]))
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_hostile_rows_are_refused_with_their_place_or_are_only_rows(line: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(gzip.compress(line) if suffix.endswith("gz") else line)
    try:
        rows = list(read_rows(str(path), "data"))
    except DataError as error:
        assert str(error).startswith(f"{path}")  # noqa: PT017
        return
    assert all(isinstance(row, dict) for _, row in rows)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:1e.-\\u \n', max_size=300).map(str.encode)))
def test_any_bytes_are_rows_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    try:
        rows = list(read_rows(str(path), "data"))
    except DataError:
        return
    assert [number for number, _ in rows] == sorted({number for number, _ in rows})
    assert json.loads(json.dumps([row for _, row in rows])) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PARTS = ("question", "chosen", "rejected", "chosen_thought", "rejected_thought", "first", "votes", "language", "text")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(PARTS), JSON | st.sampled_from(("A", "B", "rejected", [1, -1], [1e999]))))
def test_any_preferences_are_pairs_or_refused_with_their_place(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(json.dumps(row).encode() + b"\n")
    try:
        (pair,) = every_pair([str(path)])
    except DataError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
        return
    assert pair.chosen or pair.rejected
    assert all(math.isfinite(vote) for vote in pair.votes)


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:12]))
def test_hostile_preferences_are_refused_with_their_place(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(line)
    with pytest.raises(DataError, match=f"^{path}"):
        every_pair([str(path)])


READ = """
import resource, sys
from thinkwright.tasks.read import read_rows
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
list(read_rows(sys.argv[1], "data"))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="limits the address space")
def test_a_small_archive_of_a_huge_row_fills_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(30 * gzip.compress(b"0" * 100_000_000, 1))  # members of one archive follow each other
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
    assert f"{path}:1: a row of over {MAX_LINE_BYTES:,} bytes" in done.stderr
    assert "DataError" in done.stderr
