"""Digests of what a stage reads from outside its pipeline: data files, public sets, model folders, own rewards.

A digest is of contents, so that a copied or moved folder counts as the same. Of a file over 1 GiB, pieces spread over
it stand for all: other weights are found, a change of a few bytes may not be. Hub addresses are not looked at.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from thinkwright.errors import DataError
from thinkwright.models.shipped import SHIPPED
from thinkwright.tasks.example import NamedSet
from thinkwright.tasks.known_pairs import KNOWN_PAIRS
from thinkwright.tasks.known_rows import KNOWN_ROWS
from thinkwright.tasks.named import data_folder
from thinkwright.tasks.read import KNOWN_PREFIX
from thinkwright.tasks.sets import SETS

_KEYS = (
    "model", "start", "teacher", "data", "path", "held_out_path", "pass_rates", "decontaminate_against", "examples",
    "function",
)  # fmt: skip
"""Keys of recipes, in whatever table, whose texts may name something on this machine."""
_WHOLE_BYTES = 1 << 30
_PIECE_BYTES = 1 << 20
_NUM_PIECES = 64


def outside_of(recipe: dict[str, Any]) -> dict[str, str]:
    """A digest of each thing on this machine that the recipe names, by how it names it; what is not there has none."""
    return {
        name: content_digest(path)
        for table in _tables(recipe)
        for name, path in _named_in(table)
        if path.is_file() or path.is_dir()
    }


def content_digest(path: Path) -> str:
    """Of a file, or of the files that lie in a folder, with their names."""
    if path.is_file():
        return _file_digest(path)
    files = sorted(inner for inner in path.iterdir() if inner.is_file())
    return hashlib.sha256("\n".join(f"{file.name} {_file_digest(file)}" for file in files).encode()).hexdigest()[:16]


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    """A recipe's tables, the recipe itself first."""
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        yield table
        for inner in table.values():
            yield from _tables(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _tables(inner)


def _named_in(table: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """What one table names, with where it would be."""
    is_set = table.get("type") == "named"
    if is_set:
        for name in dict.fromkeys((table["name"], *table["held_out"])):
            yield from _set_files(name, SETS[name], table["data"])
    for key in _KEYS:
        if is_set and key == "data":
            continue
        value = table.get(key)
        for text in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.startswith("@") and text not in SHIPPED:
                yield from _address(key, text)


def _address(key: str, text: str) -> Iterator[tuple[str, Path]]:
    if key == "function":
        yield text, Path(text.partition(":")[0].replace(".", "/") + ".py")
    elif text.startswith(KNOWN_PREFIX):
        name, folder = text.removeprefix(KNOWN_PREFIX), _set_folder(None)
        known = [found[name].file for found in (KNOWN_PAIRS, KNOWN_ROWS) if name in found]
        yield from ((f"{text} ({file})", folder / file) for file in known if folder is not None)
    elif key == "decontaminate_against" and text in SETS:
        yield from _set_files(text, SETS[text], None)
    elif "\0" not in text:
        yield text, Path(text).expanduser()


def _set_files(name: str, found: NamedSet, data: str | None) -> Iterator[tuple[str, Path]]:
    folder = _set_folder(data)
    for source in (*found.training, *found.held_out):
        if source.file and folder is not None:
            yield f"{name} ({source.file})", folder / source.file


def _set_folder(data: str | None) -> Path | None:
    """The folder of public sets; None if they are read from the Hub, or if there is none, which the stage will say."""
    try:
        return data_folder(data)
    except DataError:
        return None


def _file_digest(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, size: int, modified: int) -> str:
    """``modified`` is part of the question, so that a file that was changed since is read again."""
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            while piece := file.read(_PIECE_BYTES):
                found.update(piece)
        else:
            for number in range(_NUM_PIECES):
                file.seek(number * (size - _PIECE_BYTES) // (_NUM_PIECES - 1))
                found.update(file.read(_PIECE_BYTES))
    return found.hexdigest()[:16]
