"""What was measured of a model, from the evaluations that lie in and beside its run folder."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkwright.evaluation.estimators import Estimate, estimate_share
from thinkwright.evaluation.strategies import Strategy
from thinkwright.pipeline.outside import content_digest
from thinkwright.tasks.sets import SETS

_SHARES = {
    "format_rate": "replies in the trained form",
    "language_consistency": "language consistency of thoughts",
    "truncated_rate": "cut off at the longest reply",
}
"""Further figures of an evaluation that a card shows, and what they are called there."""


@dataclass(frozen=True)
class MeasuredRun:
    """One evaluation of the model."""

    what: str
    accuracy: Estimate
    num_questions: int
    num_samples: int
    settings: Mapping[str, Any]
    """``temperature`` and ``max_response_tokens``, as far as known."""
    further: dict[str, float]
    """Mean over samples, by what it is called."""
    by_set: dict[str, Estimate]
    """Accuracy on each named data set that was asked."""


def read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def evaluations(run: Path, checkpoint: Path | None = None) -> Iterator[MeasuredRun]:
    """The last evaluation of the run, or that at the checkpoint's step; those of ``thinkwright eval``; and of
    ``evaluate`` runs beside it.

    The last two only if it was this very model that they asked.
    """
    when = "at the end of its training" if checkpoint is None else "at this step of its training"
    for path in _newest(run) if checkpoint is None else [run / "eval" / f"{checkpoint.name}.json"]:
        found = read_object(path)
        yield from _of_samples(found, found.get("figures", {}).get("settings", {}), when)
    model = checkpoint or run / "model"
    if not model.is_dir():
        return
    digest = content_digest(model)
    for path in sorted(run.glob("eval/*/*/figures.json")):
        yield from _of_suite(read_object(path), digest)
    for path in sorted(run.parent.glob("*/recipe.json")):
        recipe = read_object(path)
        for model in recipe["models"] if recipe.get("type") == "evaluate" else []:
            found = read_object(path.parent / "eval" / f"{model['name'].replace(' ', '_')}.json")
            if found.get("digest") == digest:
                settings = {**recipe["evaluation"], "max_response_tokens": recipe["max_response_tokens"]}
                yield from _of_samples(found, settings, f"beside other models, as {model['name']}")


def hub_name(name: str) -> str | None:
    """``owner/name`` of a named set."""
    named = SETS.get(name)
    sources = (*named.held_out, *named.training) if named else ()
    return next((source.hub.partition(":")[0] for source in sources if source.hub), None)


def asked_languages(run: Path) -> tuple[str, ...]:
    """Those of the questions of the last evaluation."""
    rows = (row for path in _newest(run) for row in _rows(read_object(path)))
    return tuple(sorted({str(row["language"]) for row in rows if row.get("language")}))


def _newest(run: Path) -> list[Path]:
    return sorted((run / "eval").glob("step_*.json"), reverse=True)[:1]


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    samples = found.get("samples", [])
    return samples.get("task", []) if isinstance(samples, dict) else samples


def _of_samples(found: dict[str, Any], settings: Mapping[str, Any], what: str) -> Iterator[MeasuredRun]:
    rows = _rows(found)
    if not rows:
        return
    sets = sorted({name for row in rows if (name := str(row["prompt_id"]).partition("/")[0]) in SETS})
    yield MeasuredRun(
        what=f"all questions, {what}",
        accuracy=_accuracy(rows),
        num_questions=len({row["prompt_id"] for row in rows}),
        num_samples=len(rows),
        settings=settings,
        further=_further(found.get("figures", {})),
        by_set={
            name: _accuracy([row for row in rows if str(row["prompt_id"]).startswith(f"{name}/")]) for name in sets
        },
    )


def _of_suite(found: dict[str, Any], digest: str) -> Iterator[MeasuredRun]:
    """What ``thinkwright eval`` found, without a budget for the thought."""
    settings, suite = found.get("settings", {}), str(found.get("suite"))
    figures = found.get("figures", {}).get(Strategy().name)
    if figures is None or settings.get("model") != f"digest {digest}":
        return
    accuracy = Estimate(*(figures[f"accuracy{part}"] for part in ("", "_standard_error", "_low", "_high")))
    yield MeasuredRun(
        what=f"suite {suite}",
        accuracy=accuracy,
        num_questions=figures["num_questions"],
        num_samples=figures["num_samples"],
        settings={"temperature": settings["temperature"], "max_response_tokens": settings["max-tokens"]},
        further=_further(figures),
        by_set={suite: accuracy} if suite in SETS else {},
    )


def _further(figures: Mapping[str, Any]) -> dict[str, float]:
    return {title: figures[key] for key, title in _SHARES.items() if key in figures}


def _accuracy(rows: list[dict[str, Any]]) -> Estimate:
    """Each question counts once, by the mean of its samples."""
    marks: dict[str, list[float]] = {}
    for row in rows:
        marks.setdefault(row["prompt_id"], []).append(float(row["is_correct"]))
    return estimate_share([sum(values) / len(values) for values in marks.values()])
