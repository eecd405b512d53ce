"""What a stage was made from and what it made, as ``stages/NN-NAME.json`` beside its folder holds it.

A stage whose manifest matches is not run again. It holds what the stage was made from by value (its recipe, digests of
what it takes from other stages and from outside, the version of the code), so a change is found, and told, before
anything runs.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from thinkwright.config.deciding import deciding
from thinkwright.errors import RunFolderError
from thinkwright.run_folder import read_json, write_json_atomic

FINISHED = "finished"
_PIECE_BYTES = 1 << 22
_SHOWN_DIFFERENCES = 4


@dataclass(frozen=True)
class Output:
    """A file that a stage made."""

    sha256: str
    size: int
    modified: int
    """In nanoseconds, as the file system has it: a file of the same size and time is taken to be the same."""


@dataclass(frozen=True)
class Manifest:
    """A stage's origin and results."""

    recipe: dict[str, Any]
    """Its resolved recipe, references as they were written."""
    inputs: dict[str, str]
    """Digest of all outputs of each stage it takes from."""
    code: str
    """Version of the package."""
    outside: dict[str, str] = field(default_factory=dict[str, str])
    """Digest of each file and folder on this machine that the recipe names (``outside.py``)."""
    status: str = "running"
    outputs: dict[str, Output] = field(default_factory=dict[str, Output])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    """Final figures, which gates look at."""
    wall_seconds: float = 0.0

    def digest(self) -> str:
        """Of all outputs together."""
        lines = [f"{name} {output.sha256}" for name, output in sorted(self.outputs.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


_MANIFEST = TypeAdapter(Manifest)


def code_version() -> str:
    """The package's version."""
    return importlib.metadata.version("thinkwright")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest there; None if there is none. Raises RunFolderError for one that cannot be read, or is none."""
    if not path.exists():
        return None
    try:
        return _MANIFEST.validate_python(read_json(path))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        key = ".".join(map(str, found["loc"])) or "the whole"
        raise RunFolderError(
            f"{path}: is no manifest of a stage ({key}: {found['msg']}); move it away, and the stage is run anew"
        ) from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write it whole or not at all."""
    write_json_atomic(path, asdict(manifest))


def differences(before: Manifest, now: Manifest) -> list[str]:
    """In words, what of the origin has changed that decides the result (``config/deciding.py``)."""
    old, new = _flat(deciding(before.recipe)), _flat(deciding(now.recipe))
    changed = [
        f"{key}: {json.dumps(old.get(key))} before, {json.dumps(new.get(key))} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if len(changed) > _SHOWN_DIFFERENCES:
        changed = [*changed[:_SHOWN_DIFFERENCES], f"and {len(changed) - _SHOWN_DIFFERENCES} more keys"]
    names = sorted(now.inputs)
    changed += [f"stage {name} made something else" for name in names if before.inputs.get(name) != now.inputs[name]]
    # What was not there then, or is gone now, is not held against a stage: it could not be made again.
    names = sorted(before.outside.keys() & now.outside.keys())
    changed += [f"{name} has changed" for name in names if before.outside[name] != now.outside[name]]
    if before.code != now.code:
        changed.append(f"made by version {before.code}, this is {now.code}")
    return changed


def damage(folder: Path, outputs: Mapping[str, Output]) -> list[str]:
    """In words, which outputs are gone or changed."""
    found: list[str] = []
    for name, output in outputs.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{path} is gone")
            continue
        stat = path.stat()
        is_same = (stat.st_size, stat.st_mtime_ns) == (output.size, output.modified)
        if not is_same and _sha256(path) != output.sha256:
            found.append(f"{path} is not what the stage wrote")
    return found


def outputs_of(folder: Path, names: Sequence[str]) -> dict[str, Output]:
    """The files under these names, folders with all they hold."""
    found: dict[str, Output] = {}
    for name in names:
        path = folder / name
        files = sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]
        for file in files:
            stat = file.stat()
            found[file.relative_to(folder).as_posix()] = Output(_sha256(file), stat.st_size, stat.st_mtime_ns)
    return found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested tables by dotted key."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    parts = [_flat(inner, f"{prefix}.{key}" if prefix else key) for key, inner in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}
