"""The run folder, written so that whoever reads it never meets half a file.

A whole file appears under its name only when it is complete and on the disk (temporary file, fsync, rename). A full or
read-only disk becomes one RunFolderError with the path, the reason and the remedy, and leaves what stood there before.
"""

import contextlib
import dataclasses
import errno
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zstandard

from thinkwright.config.deciding import deciding
from thinkwright.errors import RunFolderError
from thinkwright.run_lock import hold
from thinkwright.types import RolloutGroup

RECIPE_FILE = "recipe.json"
_PACKAGES = ("thinkwright", "torch", "transformers", "numpy")
_REMEDIES = {
    errno.ENOSPC: "free space on that disk, then --resume",
    errno.EDQUOT: "free space in your quota, then --resume",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), then --resume",
    errno.EROFS: "give a folder on a writable disk with --out",
    errno.EACCES: "give a folder you may write to with --out",
    errno.EPERM: "give a folder you may write to with --out",
    errno.ENOTDIR: "a part of the path is a file; give another folder with --out",
}


def create_run_folder(path: Path, recipe_json: str, *, resume: bool) -> None:
    """Make the folder, hold it for this process, and write ``recipe.json``: of a resumed run, with other means to the
    same result if such are given.

    Raises as ``check_run_folder`` and ``take_folder``.
    """
    check_run_folder(path, recipe_json, resume=resume)
    take_folder(path)
    if not resume:
        check_run_folder(path, recipe_json, resume=False)  # another process may have made it in between
    write_bytes_atomic(path / RECIPE_FILE, recipe_json.encode())


def take_folder(path: Path) -> None:
    """Make the folder, unless it is there, and hold it for this process. Raises RunFolderError, and as ``hold``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        hold(path)
    except OSError as error:
        raise _write_error(path, error) from error


def check_run_folder(path: Path, recipe_json: str, *, resume: bool) -> None:
    """See that a folder can be made there; or, to resume, that it is a run of the same recipe. Touches nothing.

    Raises RunFolderError for a folder that holds something already, for one that holds no run to resume, and for a
    recipe that would give another result than the one the run began with (``config/deciding.py``).
    """
    if resume:
        _check_same_recipe(path / RECIPE_FILE, json.loads(recipe_json))
        return
    try:
        is_taken = not is_empty(path)
    except OSError as error:
        raise _write_error(path, error) from error
    if is_taken:
        raise RunFolderError(f"{path}: exists already; --resume to continue it, or --out another folder")


def is_empty(folder: Path) -> bool:
    """Whether there is nothing, or a folder without a whole file: a part that a killed write left does not count."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(re.fullmatch(r"\..*\.partial|\.lock", path.name) for path in folder.iterdir())


def write_json_atomic(path: Path, data: Any) -> None:
    """Write ``data`` as indented JSON, whole or not at all. Raises RunFolderError."""
    write_bytes_atomic(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, making its folder if need be. Raises RunFolderError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Add one line. If that fails, the part that was written is taken away again. Raises RunFolderError."""
    line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
    size: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size if path.exists() else 0
        with open(path, "ab") as file:
            file.write(line)
    except OSError as error:
        if size is not None:
            with contextlib.suppress(OSError):
                os.truncate(path, size)
        raise _write_error(path, error) from error


def append_event(folder: Path, event: str, **details: Any) -> None:
    """Add a line to a run's ``events.jsonl``: what happened, and when (seconds since 1970)."""
    append_jsonl(folder / "events.jsonl", {"time": time.time(), "event": event, **details})


def truncate_jsonl(path: Path, step: int) -> None:
    """Keep the whole rows of the steps before ``step``, byte for byte, so that a resumed run adds to just these."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        write_bytes_atomic(path, b"".join(line for line in lines if _is_row_before(line, step)))


def truncate_events(path: Path, step: int) -> None:
    """Keep the events that belong to no step, and those of the steps before ``step``."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        write_bytes_atomic(path, b"".join(line for line in lines if _is_row_before(line, step, if_without=True)))


def drop_later(folder: Path, next_step: int) -> None:
    """Take out of a run folder what belongs to ``next_step`` and later ones, for a resumed run to write it anew."""
    truncate_jsonl(folder / "metrics.jsonl", next_step)
    truncate_events(folder / "events.jsonl", next_step)
    (folder / "summary.json").unlink(missing_ok=True)
    for path in [*folder.glob("rollouts/step_*"), *folder.glob("eval/step_*")]:
        if int(path.name.removeprefix("step_").partition(".")[0]) >= next_step:
            path.unlink()


def read_json(path: Path) -> Any:
    """What a file of the run folder holds. Raises RunFolderError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read ({error}); start anew with --out another folder") from error


def write_rollouts(path: Path, groups: Sequence[RolloutGroup]) -> None:
    """Write groups as zstandard-compressed JSON lines, the fields named as in ``types.py``. Raises RunFolderError."""
    lines = (json.dumps(dataclasses.asdict(group), ensure_ascii=False) + "\n" for group in groups)
    write_bytes_atomic(path, zstandard.ZstdCompressor().compress("".join(lines).encode()))


def read_rollouts(path: Path) -> list[dict[str, Any]]:
    """The groups of one step, as ``write_rollouts`` left them."""
    text = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().decode()
    return [json.loads(line) for line in text.splitlines()]


def environment(argv: Sequence[str], device: str, dtype: str, threads: int) -> dict[str, Any]:
    """Where and with what a run takes place: command, git revision, versions, machine, and the time (UTC)."""
    return {
        "argv": list(argv),
        "git": _git_revision(Path(__file__).parent),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES},
        "machine": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "memory_bytes": _memory_bytes(),
            "platform": platform.platform(),
        },
        "device": device,
        "dtype": dtype,
        "threads": threads,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check_same_recipe(path: Path, recipe: dict[str, Any]) -> None:
    if not path.is_file():
        raise RunFolderError(f"{path.parent}: no run to resume, it holds no {RECIPE_FILE}; start one without --resume")
    recorded = _flatten(deciding(read_json(path)))
    given = _flatten(deciding(recipe))
    differing = [key for key in recorded | given if recorded.get(key) != given.get(key)]
    if differing:
        lines = [f"  {key}: {_shown(recorded, key)} in the folder, {_shown(given, key)} now" for key in differing]
        raise RunFolderError(
            f"{path.parent}: the run began with another recipe; --resume with its values, or --out another folder\n"
            + "\n".join(lines)
        )


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested objects by dotted key; a list is a leaf."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    parts = [_flatten(inner, f"{prefix}.{key}" if prefix else key) for key, inner in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}


def _shown(leaves: dict[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=False) if key in leaves else "absent"


def sync_folder(folder: Path) -> None:
    """Put a rename itself on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(path: Path, error: OSError) -> RunFolderError:
    remedy = _REMEDIES.get(error.errno or 0, "mend that, then --resume, or give another folder with --out")
    return RunFolderError(f"{path}: cannot be written ({error.strerror}); {remedy}")


def _is_row_before(line: bytes, step: int, *, if_without: bool = False) -> bool:
    """False for a later row, and for one that a crash cut off; ``if_without``: what a row without a step gives."""
    try:
        row = json.loads(line)
        return line.endswith(b"\n") and (row["step"] < step if "step" in row else if_without)
    except (ValueError, KeyError, TypeError):
        return False


def _git_revision(folder: Path) -> str | None:
    """Commit of the checkout that tracks this package, ``-dirty`` if it was changed; None if there is none."""
    is_tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py") is not None
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if is_tracked else None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None if it is not there, fails, or does not answer."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
