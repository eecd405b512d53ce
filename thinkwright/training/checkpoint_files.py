"""A checkpoint's files: a checksum of each, what is damaged, and which checkpoints stay."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkwright.config.checkpointed import KeptCheckpoints
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import RunFolderError

SUMS_FILE = "SHA256SUMS"
"""As ``sha256sum`` writes and checks them."""
DAMAGED = "damaged_"
"""What the name of a damaged checkpoint begins with."""
_LOWER_IS_BETTER = "held_out_loss"
_FIGURES = ("accuracy", "held_out_accuracy", _LOWER_IS_BETTER)
"""What a held-out evaluation measures first of all, whichever of them it has."""


@dataclass(frozen=True)
class Look:
    """What was found when a checkpoint's files were read."""

    damage: str | None = None
    """How they are not what was written."""
    unreadable: str | None = None
    """Why they could not be read, which says nothing of what they hold."""


def write_sums(folder: Path, ranks: Ranks) -> None:
    """Bring all files of a checkpoint to the disk and leave a checksum of each, the ranks sharing the work."""
    # On a disk that several machines share one may not see at once what another has written.
    seen = ranks.gather([path.name for path in folder.iterdir()])
    names = sorted({name for own in seen for name in own})
    own = [(name, _synced_sum(folder / name)) for name in ranks.share(names)]
    lines = [f"{found}  {name}\n" for name, found in ranks.joined(own)]
    if ranks.is_first:
        with open(folder / SUMS_FILE, "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())


def look(folder: Path, rank: int = 0, size: int = 1) -> Look:
    """Read a rank's share of a checkpoint's files and hold them against their checksums."""
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
        if not lines:
            return Look(damage=f"{SUMS_FILE} is empty")
        for line in lines[rank::size]:
            expected, _, name = line.partition("  ")
            with open(folder / Path(name).name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    return Look(damage=f"{name} is not what was written")
    except (FileNotFoundError, IsADirectoryError, ValueError) as error:  # no UTF-8, or a NUL in a name
        return Look(damage=str(error))
    except OSError as error:
        return Look(unreadable=str(error))
    return Look()


def move_aside(checkpoint: Path) -> None:
    """Give a damaged checkpoint another name. Raises RunFolderError if that cannot be."""
    aside = checkpoint.with_name(f"{DAMAGED}{checkpoint.name}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(checkpoint, aside)
    except OSError as error:
        raise RunFolderError(f"{checkpoint}: is damaged, and cannot be renamed ({error}); delete it") from error


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
