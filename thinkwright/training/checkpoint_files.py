"""A checkpoint's files: a checksum of each, what is damaged, and which checkpoints stay."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from thinkwright.config.checkpointed import KeptCheckpoints
from thinkwright.distributed.ranks import Ranks

SUMS_FILE = "SHA256SUMS"
"""As ``sha256sum`` writes and checks them."""
_LOWER_IS_BETTER = "held_out_loss"
_FIGURES = ("accuracy", "held_out_accuracy", _LOWER_IS_BETTER)
"""What a held-out evaluation measures first of all, whichever of them it has."""


def write_sums(folder: Path, ranks: Ranks) -> None:
    """Bring all files of a checkpoint to the disk and leave a checksum of each, the ranks sharing the work."""
    names = ranks.on_first(lambda: sorted(path.name for path in folder.iterdir()))
    own = [(name, _synced_sum(folder / name)) for name in ranks.share(names)]
    lines = [f"{found}  {name}\n" for name, found in ranks.joined(own)]
    if ranks.is_first:
        with open(folder / SUMS_FILE, "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())


def damage_of(folder: Path) -> str | None:
    """What is wrong with a checkpoint's files; None if all are as they were written."""
    try:
        text = (folder / SUMS_FILE).read_text(encoding="utf-8")
        for line in text.splitlines():
            expected, _, name = line.partition("  ")
            with open(folder / Path(name).name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    return f"{name} is not what was written"
    except (OSError, UnicodeDecodeError) as error:
        return str(error)
    return None if text else f"{SUMS_FILE} is empty"


def drop_old(folder: Path, kept: KeptCheckpoints) -> None:
    """Delete the checkpoints that need not be kept."""
    found = sorted(folder.glob("step_*"))
    stay = set(found[-kept.last :])
    if kept.every_steps is not None:
        stay |= {path for path in found if step_of(path) % kept.every_steps == 0}
    if kept.best and (best := _best(found)) is not None:
        stay.add(best)
    for old in set(found) - stay:
        shutil.rmtree(old, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """The step that is run next from it."""
    return int(checkpoint.name.removeprefix("step_"))


def _best(checkpoints: list[Path]) -> Path | None:
    """The one whose evaluation was best, the earliest of equals; None before the first evaluation."""
    scores = {path: score for path in checkpoints if (score := _score(path)) is not None}
    return max(scores, key=lambda path: scores[path], default=None)


def _score(checkpoint: Path) -> float | None:
    try:
        path = checkpoint.parent.parent / "eval" / f"{checkpoint.name}.json"
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    except (OSError, ValueError, KeyError):
        return None
    name = next((name for name in _FIGURES if figures.get(name) is not None), None)
    if name is None:
        return None
    return -float(figures[name]) if name == _LOWER_IS_BETTER else float(figures[name])


def _synced_sum(path: Path) -> str:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
