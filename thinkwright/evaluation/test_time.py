"""Accuracy against test-time compute: thinking budgets, longer thoughts, parallel samples, and both together.

Every strategy's samples give one point for a single sample and one for each number of samples that vote, or among
which a reward model chooses. Compute is the mean number of tokens sampled for a problem, all its samples together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from thinkwright.evaluation.canonical import NOT_VOTED
from thinkwright.evaluation.estimators import estimate_difference, estimate_share
from thinkwright.evaluation.figures import Sample, best_of, by_question, vote_of
from thinkwright.evaluation.strategies import Strategy

Array = np.ndarray
RESAMPLES = 400
MIN_SPAN = 1.5
"""Times by which the dearest budget must be dearer than the cheapest: from less, a curve would only be guessed."""
_SEED = 0
_TAUS = 80


@dataclass(frozen=True)
class Point:
    """One way to spend compute."""

    strategy: str
    """``free``, ``budget`` or ``wait``, with ``+vote`` or ``+best_of`` for several samples."""
    label: str
    mean_tokens: float
    """Sampled for a problem."""
    accuracy: float
    low: float
    high: float
    """The 95 % interval, clustered by problem."""
    by_level: dict[str, dict[str, float]]
    """``accuracy`` and ``mean_tokens`` of the problems of each level."""
    on_frontier: bool = False
    """No point that costs less, or as much, is better."""


@dataclass(frozen=True)
class _Ways:
    """What each problem comes to under one way, and what it costs, by problem."""

    accuracy: dict[str, float]
    tokens: dict[str, float]
    levels: dict[str, str]


def curve_of(samples: Mapping[Strategy, Sequence[Sample]]) -> dict[str, Any]:
    """``points`` in the order of compute, and the ``fit`` of accuracy against the budget, or None.

    The samples of every strategy must answer the same problems.
    """
    ways = {
        name: way for strategy, rows in samples.items() for name, way in _ways_of(strategy, by_question(rows)).items()
    }
    points = sorted((_point(*name, way) for name, way in ways.items()), key=lambda point: point.mean_tokens)
    singles = [way for (kind, _), way in ways.items() if kind in ("budget", "free")]
    return {"points": [asdict(point) for point in _with_frontier(points)], "fit": fit_budget(singles)}


def _ways_of(strategy: Strategy, questions: Mapping[str, Sequence[Sample]]) -> dict[tuple[str, str], _Ways]:
    label = strategy.name.replace("-", " ")
    found = {(strategy.kind, label): _way(questions, lambda rows, k: fmean(row["is_correct"] for row in rows), 1)}
    num_samples = min(map(len, questions.values()))
    can_vote = all(rows[0]["verifier"] not in NOT_VOTED for rows in questions.values())
    can_choose = all("preference" in row for rows in questions.values() for row in rows)
    for k in [2**i for i in range(1, num_samples.bit_length())]:
        # A vote of two is one sample's answer, or a tie.
        if can_vote and k > 2:
            voted = _way(questions, lambda rows, k: vote_of(rows, k).mark, k)
            found[f"{strategy.kind}+vote", f"{label}, vote of {k}"] = voted
        if can_choose:
            found[f"{strategy.kind}+best_of", f"{label}, best of {k}"] = _way(questions, best_of, k)
    return found


def _way(questions: Mapping[str, Sequence[Sample]], mark: Callable[[Sequence[Sample], int], float], k: int) -> _Ways:
    return _Ways(
        {name: mark(rows, k) for name, rows in questions.items()},
        {name: k * fmean(row["response_tokens"] for row in rows) for name, rows in questions.items()},
        {name: str(rows[0]["level"]) for name, rows in questions.items()},
    )


def _point(strategy: str, label: str, way: _Ways) -> Point:
    found = estimate_share(list(way.accuracy.values()))
    levels = sorted(set(way.levels.values()), key=lambda level: (len(level), level))
    members = {level: [name for name, of in way.levels.items() if of == level] for level in levels}
    return Point(
        strategy,
        label,
        fmean(way.tokens.values()),
        found.mean,
        found.low,
        found.high,
        {
            level: {
                "accuracy": fmean(way.accuracy[name] for name in names),
                "mean_tokens": fmean(way.tokens[name] for name in names),
            }
            for level, names in members.items()
        },
    )


def _with_frontier(points: Sequence[Point]) -> list[Point]:
    """Points in the order of compute, those marked that are better than all before them."""
    best, found = -1.0, list[Point]()
    for point in points:
        is_better = point.accuracy > best
        best = max(best, point.accuracy)
        found.append(replace(point, on_frontier=is_better))
    return found


def fit_budget(ways: Sequence[_Ways]) -> dict[str, Any] | None:
    """Accuracy = plateau - drop * exp(-tokens / scale), by least squares, over the budgets.

    None for under four, or if they differ too little in tokens (``MIN_SPAN``).

    The plateau's 95 % interval comes from problems drawn anew (bootstrap). Accuracy stops rising at the fewest mean
    tokens whose accuracy is not significantly under the best: the 95 % interval of the paired difference holds 0.
    """
    if len(ways) < 4:
        return None
    problems = sorted(name for name in ways[0].accuracy if all(name in way.accuracy for way in ways))
    accuracy = np.array([[way.accuracy[name] for name in problems] for way in ways])  # (ways, problems)
    tokens = np.array([[way.tokens[name] for name in problems] for way in ways])
    order = tokens.mean(1).argsort(kind="stable")
    accuracy, tokens = accuracy[order], tokens[order]
    if tokens[-1].mean() < MIN_SPAN * tokens[0].mean():
        return None
    plateau, drop, scale = _saturation(tokens.mean(1), accuracy.mean(1))
    rng = np.random.default_rng(_SEED)
    drawn = [rng.integers(len(problems), size=len(problems)) for _ in range(RESAMPLES)]
    plateaus = [_saturation(tokens[:, chosen].mean(1), accuracy[:, chosen].mean(1))[0] for chosen in drawn]
    low, high = np.quantile(plateaus, (0.025, 0.975))
    return {
        "formula": f"{plateau:.4f} - {drop:.4f} * exp(-tokens / {scale:.1f})",
        "plateau": plateau,
        "plateau_low": float(low),
        "plateau_high": float(high),
        "stops_rising_at": _stops_rising_at(tokens.mean(1), accuracy),
    }


def _saturation(tokens: Array, accuracy: Array) -> tuple[float, float, float]:
    """Plateau (at most 1), drop and scale: the scale from a grid, the other two by linear least squares for each."""
    best: tuple[float, float, float, float] | None = None
    for scale in _scales(max(float(tokens.min()), 1.0) / 4, float(tokens.max()) * 2):
        design = np.stack((np.ones_like(tokens), -np.exp(-tokens / scale)), axis=1)
        (plateau, drop), *_ = np.linalg.lstsq(design, accuracy, rcond=None)
        if plateau > 1:
            decay = -design[:, 1]
            plateau, drop = 1.0, float(((1 - accuracy) * decay).sum() / (decay**2).sum())
        error = float(((design @ (plateau, drop) - accuracy) ** 2).sum())
        if best is None or error < best[0]:
            best = error, float(plateau), float(drop), scale
    assert best is not None
    return best[1:]


def _scales(low: float, high: float) -> list[float]:
    """Values from one to the other, each as many times the last."""
    ratio = (high / low) ** (1 / (_TAUS - 1))
    return [low * ratio**i for i in range(_TAUS)]


def _stops_rising_at(mean_tokens: Array, accuracy: Array) -> float:
    best = accuracy[accuracy.mean(1).argmax()]
    for tokens, row in zip(mean_tokens, accuracy, strict=True):
        if estimate_difference(best.tolist(), row.tolist()).low <= 0:
            return float(tokens)
    return float(mean_tokens[-1])
