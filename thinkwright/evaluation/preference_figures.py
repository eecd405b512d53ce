"""How well a reward model tells what people preferred, and by what it may be misled: length, position, confidence."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import correlation, fmean
from typing import Any

NUM_BINS = 10


@dataclass(frozen=True)
class ScoredPair:
    """Raw scores of a pair's sides, where they are, and how long the responses are."""

    chosen: float | None
    rejected: float | None
    chosen_length: int
    rejected_length: int


def preference_figures(pairs: Sequence[ScoredPair], *, is_pairwise: bool) -> dict[str, Any]:
    """Held-out figures; a tie of scores counts half.

    ``held_out_accuracy`` is over pairs with both sides, or, if there are none, over single responses at a probability
    of a half. ``calibration_error`` is the expected one over ten bins (Guo et al., arXiv:1706.04599, equation 3).
    """
    both = [pair for pair in pairs if pair.chosen is not None and pair.rejected is not None]
    figures: dict[str, Any] = {"held_out_pairs": len(pairs)}
    if both:
        figures |= _pair_figures(both)
    if is_pairwise:
        outcomes = [(_sigmoid(abs(_margin(pair))), _is_right(pair)) for pair in both]
    else:
        good = [pair.chosen for pair in pairs if pair.chosen is not None]
        bad = [pair.rejected for pair in pairs if pair.rejected is not None]
        outcomes = [*((_sigmoid(score), 1.0) for score in good), *((_sigmoid(score), 0.0) for score in bad)]
        figures["single_accuracy"] = fmean([*(_half(score) for score in good), *(_half(-score) for score in bad)])
        if good and bad:
            figures["auroc"] = _auroc(good, bad)
        figures.setdefault("held_out_accuracy", figures["single_accuracy"])
    return figures | _calibration(outcomes)


def position_bias(firsts: Sequence[str]) -> dict[str, float]:
    """Of pairs that say which side was shown first: the share in which it was chosen, with its standard error."""
    if not firsts:
        return {}
    share = fmean(first == "chosen" for first in firsts)
    return {"first_chosen": share, "first_chosen_standard_error": math.sqrt(share * (1 - share) / len(firsts))}


def _pair_figures(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    accuracy = fmean(map(_is_right, pairs))
    figures: dict[str, Any] = {
        "held_out_accuracy": accuracy,
        "held_out_accuracy_standard_error": math.sqrt(accuracy * (1 - accuracy) / len(pairs)),
        "longer_wins_accuracy": fmean(_half(pair.chosen_length - pair.rejected_length) for pair in pairs),
    }
    by_length = {
        "accuracy_chosen_longer": [p for p in pairs if p.chosen_length > p.rejected_length],
        "accuracy_chosen_shorter": [p for p in pairs if p.chosen_length < p.rejected_length],
    }
    figures |= {name: fmean(map(_is_right, found)) for name, found in by_length.items() if found}
    if len(figures) == len(by_length) + 3:
        figures["length_bias"] = figures["accuracy_chosen_longer"] - figures["accuracy_chosen_shorter"]
    differences = [float(pair.chosen_length - pair.rejected_length) for pair in pairs]
    margins = [_margin(pair) for pair in pairs]
    if len(set(differences)) > 1 and len(set(margins)) > 1:
        figures["score_length_correlation"] = correlation(margins, differences)
    return figures


def _margin(pair: ScoredPair) -> float:
    assert pair.chosen is not None
    assert pair.rejected is not None
    return pair.chosen - pair.rejected


def _is_right(pair: ScoredPair) -> float:
    return _half(_margin(pair))


def _half(difference: float) -> float:
    return 0.5 if difference == 0 else float(difference > 0)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


def _auroc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Chance that a good response scores above a bad one; ties count half."""
    ordered = sorted(bad)
    below = sum((bisect_left(ordered, score) + bisect_right(ordered, score)) / 2 for score in good)
    return below / (len(good) * len(bad))


def _calibration(outcomes: Sequence[tuple[float, float]]) -> dict[str, Any]:
    bins: list[dict[str, float]] = []
    for i in range(NUM_BINS):
        inside = [(p, label) for p, label in outcomes if min(int(p * NUM_BINS), NUM_BINS - 1) == i]
        if inside:
            said, was = fmean(p for p, _ in inside), fmean(label for _, label in inside)
            bins.append({"said": said, "was": was, "count": len(inside)})
    error = sum(abs(b["said"] - b["was"]) * b["count"] for b in bins) / max(1, len(outcomes))
    return {"calibration_error": error, "calibration_bins": bins}
