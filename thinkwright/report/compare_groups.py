"""Runs that are told together: those whose recipes differ in nothing but the seed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from thinkwright.report.charts import series_colour
from thinkwright.report.series import Run, interval
from thinkwright.report.settings import flat

_SEED_AT_END = re.compile(r"[-_. ]*(?:seed)?[-_. ]*\d+$", re.IGNORECASE)
# Student's t for a 95 % interval, by degrees of freedom from 1 on; the normal's beyond.
_STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL = 1.96


@dataclass(frozen=True)
class RunGroup:
    """The runs of one recipe."""

    label: str
    colour: str
    """Class of the style sheet for its lines."""
    settings: dict[str, str]
    """Its recipe by dotted key, without the seed and what is not set."""
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Told:
    """A figure of a recipe with its 95 % interval, as far as there is one."""

    mean: float
    ends: tuple[float, float] | None


def groups_of(runs: Sequence[Run]) -> list[RunGroup]:
    """The runs by recipe, in the order in which recipes first come."""
    by_recipe: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        by_recipe.setdefault(tuple(settings_of(run).items()), []).append(run)
    labels = _unique([_label(found[0]) for found in by_recipe.values()])
    return [
        RunGroup(label, series_colour(i), dict(settings), tuple(found))
        for i, (label, (settings, found)) in enumerate(zip(labels, by_recipe.items(), strict=True))
    ]


def settings_of(run: Run) -> dict[str, str]:
    """The recipe by dotted key, without the seed and what is not set; what a stage takes from its own pipeline as
    ``@stage``."""
    settings = {key: value for key, value in flat(run.recipe) if key != "seed" and value != "null"}
    folder = run.folder.resolve()
    if folder.parent.name != "stages":
        return settings
    own = re.compile(rf'[^"\s]*{re.escape(folder.parent.parent.name)}/stages/')
    return {key: own.sub("@", value) for key, value in settings.items()}


def final_figure(group: RunGroup, key: str) -> Told | None:
    """A final figure: of several seeds their mean with Student's interval, of one run its own; None without any."""
    found = [figures for run in group.runs if isinstance((figures := run.after or run.before).get(key), int | float)]
    values = [float(figures[key]) for figures in found]
    if not values:
        return None
    if len(values) == 1:
        return Told(values[0], interval(found[0], key))
    degrees = len(values) - 1
    t = _STUDENT_T[degrees - 1] if degrees <= len(_STUDENT_T) else _NORMAL
    mean, half = fmean(values), t * stdev(values) / sqrt(len(values))
    return Told(mean, (mean - half, mean + half))


def _label(run: Run) -> str:
    """The folder's name without the seed at its end; where nothing is left, that of the folder around it."""
    folder = run.folder.resolve()
    stems = (_SEED_AT_END.sub("", path.name) for path in (folder, *folder.parents))
    return next((stem for stem in stems if stem), run.name)


def _unique(labels: Sequence[str]) -> list[str]:
    """Labels that occur more than once get a number."""
    seen: dict[str, int] = {}
    told: list[str] = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        told.append(label if labels.count(label) == 1 else f"{label} ({seen[label]})")
    return told
