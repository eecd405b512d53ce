"""What more compute would bring a run, foretold from its own curve (ScaleRL, arXiv:2510.13786)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MIN_POINTS = 12
MIN_SPAN = 4.0
"""Times by which the last compute must exceed the first: from less, a curve would only be guessed."""
WORTH = 0.02
"""A gain of pass rate below this is none."""
_RESAMPLES, _MAX_POINTS = 200, 400
_HALVES, _STEEPNESSES = 120, (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)


@dataclass(frozen=True)
class ScalingFit:
    """Pass rate = start + (plateau - start) / (1 + (half / C)^steepness) at compute C."""

    start: float
    plateau: float
    plateau_low: float
    plateau_high: float
    """The 95 % interval."""
    half: float
    """Compute at which half of the way to the plateau is made."""
    steepness: float
    spent: float
    """Compute of the last point."""

    def at(self, compute: float) -> float:
        """The curve."""
        return self.start + (self.plateau - self.start) / (1 + (self.half / compute) ** self.steepness)

    def verdict(self) -> str:
        """Whether more compute will help: ``yes``, ``no``, or ``open`` where the interval holds both."""
        now = self.at(self.spent)
        if self.plateau_low - now > WORTH:
            return "yes"
        return "no" if self.plateau_high - now < WORTH else "open"


def fit_scaling(compute: Sequence[float], pass_rates: Sequence[float]) -> ScalingFit | None:
    """The curve of least squares; its plateau's interval comes from residuals drawn anew (bootstrap).

    ``compute`` in any unit, above 0 and rising. None for fewer than ``MIN_POINTS``, or over too small a span.
    """
    if len(compute) < MIN_POINTS or compute[-1] < MIN_SPAN * compute[0]:
        return None
    spent, rates = _thinned(np.array(compute, dtype=float)), _thinned(np.array(pass_rates, dtype=float))
    halves: Array = np.exp(np.linspace(math.log(spent[0] / 4), math.log(spent[-1] * 8), _HALVES))
    half: Array = np.repeat(halves, len(_STEEPNESSES))
    steepness: Array = np.tile(np.array(_STEEPNESSES), _HALVES)
    shapes = _Shapes(1 / (1 + (half[:, None] / spent) ** steepness[:, None]))
    best, start, plateau = shapes.fitted(rates)
    found: Array = start + (plateau - start) * shapes.values[best]
    rng = np.random.default_rng(0)
    plateaus = [shapes.fitted(found + rng.choice(rates - found, size=len(rates)))[2] for _ in range(_RESAMPLES)]
    low, high = np.quantile(plateaus, (0.025, 0.975))
    return ScalingFit(
        start, plateau, float(low), float(high), float(half[best]), float(steepness[best]), float(spent[-1])
    )


def _thinned(values: Array) -> Array:
    """Means of neighbours, at most ``_MAX_POINTS``."""
    size = -(-len(values) // _MAX_POINTS)
    return np.array([values[i : i + size].mean() for i in range(0, len(values), size)])


class _Shapes:
    """Curves from 0 to 1 over the points, (candidates, points), with the sums that every fit needs."""

    def __init__(self, values: Array) -> None:
        self.values = values
        self._sum: Array = values.sum(1)
        self._square: Array = (values**2).sum(1)

    def fitted(self, rates: Array) -> tuple[int, float, float]:
        """The best of the candidates, and its start and plateau, by linear least squares; no plateau above 1 or below
        0."""
        num, total = len(rates), float(rates.sum())
        with_rates: Array = self.values @ rates
        spread: Array = np.maximum(self._square - self._sum**2 / num, 1e-12)
        rise: Array = (with_rates - self._sum * total / num) / spread
        start: Array = (total - rise * self._sum) / num
        plateau: Array = np.clip(start + rise, 0.0, 1.0)
        # With the plateau held, what is left of the curve is start (1 - shape): least squares again.
        rest: Array = np.maximum(num - 2 * self._sum + self._square, 1e-12)
        held: Array = (total - with_rates - plateau * (self._sum - self._square)) / rest
        start = np.where(plateau == start + rise, start, held)
        gain: Array = plateau - start
        errors: Array = (
            num * start**2 + 2 * start * gain * self._sum + gain**2 * self._square
            - 2 * start * total - 2 * gain * with_rates
        )  # fmt: skip
        best = int(errors.argmin())
        return best, float(start[best]), float(plateau[best])
