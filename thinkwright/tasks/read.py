"""Rows from files and from the Hub: JSON lines (plain or gzip), Parquet, and ``hub:`` addresses.

``tiny-world:NAME:COUNT`` makes rows of the tiny world: ``assistant`` (how people answer), ``helpful-pairs`` and
``harmless-pairs`` (what they prefer), ``careful`` (worked examples), ``facts``; ``tiny-world:NAME:COUNT:SEED`` makes
others. ``known:NAME`` reads rows to fine-tune on from a public set (``known_rows.py``).

A broken file or row stops the run with its place: whoever gave the file can mend it.
"""

import gzip
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thinkwright.errors import DataError
from thinkwright.tasks.example import Row
from thinkwright.tasks.tiny_world.answers import assistant_rows, harmless_pairs, helpful_pairs
from thinkwright.tasks.tiny_world.worked import careful_rows, fact_rows

TINY_WORLD_PREFIX = "tiny-world:"
KNOWN_PREFIX = "known:"
_TINY_WORLD_FORM = "tiny-world:NAME:COUNT or tiny-world:NAME:COUNT:SEED"
_MAX_DIGITS = 18
MAX_LINE_BYTES = 64_000_000
"""Of one row, unpacked: a file without line ends, or a small archive of a huge one, must not fill the memory."""
_TINY_WORLD_ROWS = {
    "assistant": assistant_rows,
    "helpful-pairs": helpful_pairs,
    "harmless-pairs": harmless_pairs,
    "careful": careful_rows,
    "facts": fact_rows,
}
HUB_PREFIX = "hub:"
_HUB_FORM = "hub:owner/name:split or hub:owner/name:configuration:split"
# Not the colon of a slice, such as train[:100].
_HUB_COLON = re.compile(r":(?![^\[]*\])")


def read_rows(address: str, key: str) -> Iterator[tuple[int, Row]]:
    """The rows at a path or ``hub:`` address with their numbers from 1 (in JSON lines, those of the lines).

    ``key`` is what the recipe calls the address. Raises DataError naming the place and the remedy.
    """
    if address.startswith(HUB_PREFIX):
        return _hub_rows(address, key)
    if address.startswith(TINY_WORLD_PREFIX):
        return _tiny_world_rows(address, key)
    if address.startswith(KNOWN_PREFIX):
        from thinkwright.tasks.known_rows import known_rows  # it reads its files by this function

        return known_rows(address.removeprefix(KNOWN_PREFIX), key)
    path = expanded(address, key)
    return _parquet_rows(path, key) if path.suffix == ".parquet" else _json_rows(path, key)


def is_file(address: str) -> bool:
    """Whether the address is a path on this machine."""
    return not address.startswith((HUB_PREFIX, TINY_WORLD_PREFIX, KNOWN_PREFIX))


def place_of(address: str, number: int) -> str:
    """How messages call a row."""
    return f"{address}:{number}"


def expanded(address: str, key: str) -> Path:
    """The path, ``~`` replaced by the home folder. Raises DataError if there is no such user, or for a zero byte."""
    if "\0" in address:
        raise DataError(f"{address!r}: no path holds a zero byte; correct {key}")
    try:
        return Path(address).expanduser()
    except RuntimeError as error:
        raise DataError(f"{address}: no user of this name has a home folder; write the path out in {key}") from error


def hub_parts(address: str) -> list[str]:
    """Name, configuration if there is one, and split of a Hub address."""
    return _HUB_COLON.split(address.removeprefix(HUB_PREFIX))


def stem_of(address: str) -> str:
    """A short name of an address, without folder and suffixes."""
    if address.startswith((TINY_WORLD_PREFIX, KNOWN_PREFIX)):
        return address.split(":")[1]
    if address.startswith(HUB_PREFIX):
        return address.removeprefix(HUB_PREFIX).partition(":")[0].rpartition("/")[2]
    return Path(Path(address).name.removesuffix(".gz")).stem


def _json_rows(path: Path, key: str) -> Iterator[tuple[int, Row]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            for number in itertools.count(1):
                line, place = file.readline(MAX_LINE_BYTES + 1), place_of(str(path), number)
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(f"{place}: a row of over {MAX_LINE_BYTES:,} bytes; write one JSON object a line")
                if not line:
                    return
                if line.strip():
                    yield number, _parse(_decode(line, place), place)
    except FileNotFoundError as error:
        raise _no_file(path, key) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); fetch it again, or rename a plain one") from error
    except OSError as error:
        raise _unreadable(path, key, error) from error


def _parquet_rows(path: Path, key: str) -> Iterator[tuple[int, Row]]:
    try:
        path.stat()
    except FileNotFoundError as error:
        raise _no_file(path, key) from error
    except OSError as error:
        raise _unreadable(path, key, error) from error
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet files need pyarrow; pip install 'thinkwright[hub]', or give JSON lines"
        ) from error
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: a text after row {number} is not UTF-8; save the file's texts as UTF-8") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({_first_line(error)}); give one as {key}") from error


def _hub_rows(address: str, key: str) -> Iterator[tuple[int, Row]]:
    parts = hub_parts(address)
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise DataError(f"{address}: not a Hub address; write {_HUB_FORM} as {key}")
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(
            f"{address}: the Hub needs `datasets`; pip install 'thinkwright[hub]', or give a local file"
        ) from error
    *name, split = parts
    try:
        rows: Any = load_dataset(*name, split=split)
    # Whatever the network, the Hub or the set's own files raise: the answer for the user is the same.
    except Exception as error:
        raise DataError(
            f"{address}: cannot be read from the Hub ({type(error).__name__}: {_first_line(error)}); "
            f"check name, split and network, or give a local copy as {key}"
        ) from error
    yield from enumerate(rows, 1)


def _tiny_world_rows(address: str, key: str) -> Iterator[tuple[int, Row]]:
    name, *numbers = address.removeprefix(TINY_WORLD_PREFIX).split(":")
    if name not in _TINY_WORLD_ROWS or not 1 <= len(numbers) <= 2 or not all(map(str.isdecimal, numbers)):
        names = ", ".join(_TINY_WORLD_ROWS)
        raise DataError(
            f"{address}: not rows of the tiny world; write {_TINY_WORLD_FORM} as {key}, NAME one of {names}"
        )
    if any(len(number) > _MAX_DIGITS for number in numbers):
        raise DataError(f"{address[:80]}...: a number of over {_MAX_DIGITS} digits; write a smaller one as {key}")
    count, seed = (*map(int, numbers), 0)[:2]
    yield from enumerate(_TINY_WORLD_ROWS[name](count, seed), 1)


def _no_file(path: Path, key: str) -> DataError:
    nearest = next(parent for parent in path.resolve().parents if os.path.isdir(parent))
    return DataError(f"{path}: no such file; the nearest folder that exists is {nearest}; correct {key}")


def _unreadable(path: Path, key: str, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror}); give a readable file as {key}")


def _decode(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: byte {error.start} of the line is not UTF-8; save the file as UTF-8") from error


def _parse(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{place}: not valid JSON ({reason}); write one JSON object a line") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: a JSON {type(row).__name__}; write one JSON object a line")
    return row


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no message")[:200]
