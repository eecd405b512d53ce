"""Rows from anywhere: whatever bytes they are, they are read or refused in words, and fill no memory."""

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thinkwright.errors import DataError
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


READ = """
import resource, sys
from thinkwright.tasks.read import read_rows
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
list(read_rows(sys.argv[1], "data"))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="limits the address space")
def test_a_small_archive_of_a_huge_row_fills_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(30):
            file.write(b"0" * 100_000_000)
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
    assert f"{path}:1: a row of over {MAX_LINE_BYTES:,} bytes" in done.stderr
    assert "DataError" in done.stderr
