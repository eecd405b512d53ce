"""Where the stages of a pipeline stand in its folder: ``stages/NN-NAME/`` with the manifest ``NN-NAME.json`` beside it.

A stage is told by its name: if others were put in or taken out before it, what it made gets its new number.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thinkwright.config.pipeline import Pipeline, Stage
from thinkwright.run_folder import read_json


@dataclass(frozen=True)
class Place:
    """Where a stage stands in the run folder."""

    stage: Stage
    folder: Path

    @property
    def manifest(self) -> Path:
        """The file with what it was made from."""
        return self.folder.with_name(f"{self.folder.name}.json")


def places_of(pipeline: Pipeline, folder: Path) -> list[Place]:
    """All stages in their order."""
    return [
        Place(stage, folder / "stages" / f"{number:02d}-{stage.name}")
        for number, stage in enumerate(pipeline.stages, 1)
    ]


def renumber(places: Sequence[Place]) -> list[str]:
    """Give what stages made under other numbers the numbers they have now; says what was moved, a line each."""
    lines: list[str] = []
    for place in places:
        earlier = _named(place.folder.parent, rf"\d+-{place.stage.name}\.json")
        if place.manifest.exists() or not earlier:
            continue
        folder = earlier[0].with_suffix("")
        if folder.exists() and place.folder.exists():
            continue  # whose the manifest is cannot be told
        # The manifest last: a crash between the two is mended by the next call.
        if folder.exists():
            folder.rename(place.folder)
        earlier[0].rename(place.manifest)
        lines.append(f"{place.stage.name}: was {folder.name}, is {place.folder.name} now")
    return lines


def keep_old(place: Place) -> Path | None:
    """Move what a stage made before out of the way: nothing that took hours is deleted."""
    if not place.folder.exists():
        return None
    number = 1
    while (aside := place.folder.parent / "old" / f"{place.folder.name}-{number}").exists():
        number += 1
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(place.folder, aside)
    return aside


def seconds_of_earlier(place: Place, finished: str) -> float | None:
    """What the stage took when what is set aside now was run to its end; None if nothing such is there."""
    asides = _named(place.folder.parent / "old", rf"\d+-{place.stage.name}-\d+")
    summaries = [path for aside in asides if (path := aside / "summary.json").is_file()]
    summaries.sort(key=lambda path: path.stat().st_mtime_ns)
    rows = [row for row in map(read_json, reversed(summaries)) if row["status"] == finished]
    return float(rows[0]["wall_seconds"]) if rows else None


def _named(folder: Path, pattern: str) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if re.fullmatch(pattern, path.name))
