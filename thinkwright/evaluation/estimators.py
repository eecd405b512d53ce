"""What several samples a question say of a model: pass@k, G-Pass@k, cons@k, and how sure one can be.

Pure functions of marks; nothing here samples from a model or grades. A question's n samples are exchangeable, so every
figure for k of them is the mean over all subsets of size k, in closed form where there is one.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, comb, sqrt
from statistics import fmean, stdev

import numpy as np

Z = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""
SUBSETS = 200
"""Random subsets that a vote of fewer answers than there are is averaged over."""


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Chance that one of k samples is right: 1 - C(n - c, k) / C(n, k) (Chen et al., arXiv:2107.03374, equation 1)."""
    _check(num_samples, num_right, k)
    return 1 - comb(num_samples - num_right, k) / comb(num_samples, k)


def g_pass_at_k(num_samples: int, num_right: int, k: int, share: float) -> float:
    """Chance that at least ceil(share * k) of k samples are right (G-Pass@k, arXiv:2412.13147)."""
    _check(num_samples, num_right, k)
    least = max(1, ceil(share * k - 1e-9))
    ways = sum(
        comb(num_right, right) * comb(num_samples - num_right, k - right)
        for right in range(least, min(num_right, k) + 1)
    )
    return ways / comb(num_samples, k)


def best_of_k(scores: Sequence[float], marks: Sequence[float], k: int) -> float:
    """Mean mark of the sample with the highest score among k; samples of the same score share the choice."""
    _check(len(scores), 0, k)
    groups: dict[float, list[float]] = {}
    for score, mark in sorted(zip(scores, marks, strict=True), reverse=True):
        groups.setdefault(score, []).append(mark)
    total, below = 0.0, len(scores)
    for of_score in groups.values():
        # The best of k lies in this group if not all k lie below it, and none above it.
        at_least, below = below, below - len(of_score)
        total += fmean(of_score) * (comb(at_least, k) - comb(below, k)) / comb(len(scores), k)
    return total


@dataclass(frozen=True)
class MajorityVote:
    """What a majority of answers comes to."""

    mark: float
    """Mean mark of the answer that most gave; tied answers share it."""
    ties: float
    """Share of votes that were tied."""


def majority_at_k(answers: Sequence[Hashable | None], marks: Sequence[float], k: int, seed: int = 0) -> MajorityVote:
    """cons@k: the answer that most of k samples give (Wang et al., arXiv:2203.11171).

    None stands for no answer, which never wins.
    Over all n exactly; for smaller k over ``SUBSETS`` random subsets, the same for the same seed. Equal answers must
    have equal marks. A vote without any answer is worth 0.
    """
    _check(len(answers), 0, k)
    codes = {answer: code for code, answer in enumerate(dict.fromkeys(a for a in answers if a is not None))}
    if not codes:
        return MajorityVote(0.0, 0.0)
    mark_of = np.zeros(len(codes))
    for answer, mark in zip(answers, marks, strict=True):
        if answer is not None:
            mark_of[codes[answer]] = mark
    # A column for each answer, and none for no answer: (samples, answers).
    given = np.array([[code == codes.get(answer) for code in codes.values()] for answer in answers], dtype=np.int32)
    counts = given[_subsets(len(answers), k, seed)].sum(1)  # (subsets, answers)
    most = counts.max(1, keepdims=True)
    leads = (counts == most) & (most > 0)
    num_leaders = leads.sum(1)
    values = (leads @ mark_of) / np.maximum(num_leaders, 1)
    return MajorityVote(float(values.mean()), float((num_leaders > 1).mean()))


@cache
def _subsets(num_samples: int, k: int, seed: int) -> np.ndarray:
    """Places of the samples that vote, (subsets, k): all of them once, or ``SUBSETS`` random choices."""
    if k == num_samples:
        return np.arange(num_samples)[None]
    return np.random.default_rng((seed, num_samples, k)).random((SUBSETS, num_samples)).argsort(1)[:, :k]


@dataclass(frozen=True)
class Estimate:
    """A mean over questions with its 95 % interval."""

    mean: float
    standard_error: float
    low: float
    high: float


def estimate_share(by_question: Sequence[float]) -> Estimate:
    """Of a share, from its value in each question (0 to 1): questions are independent, samples of one are not.

    The standard error is that of the mean over questions (Miller, arXiv:2411.00640). The interval is Wilson's for as
    many independent marks as would have that error, so that it stays within 0 to 1 and is not empty where all questions
    agree.
    """
    mean = fmean(by_question)
    error = stdev(by_question) / sqrt(len(by_question)) if len(by_question) > 1 else 0.0
    variance = mean * (1 - mean)
    count = variance / error**2 if error > 0 else float(len(by_question))
    scale = 1 + Z * Z / count
    middle = (mean + Z * Z / (2 * count)) / scale
    half = Z / scale * sqrt(variance / count + Z * Z / (4 * count * count))
    return Estimate(mean, error, max(0.0, min(mean, middle - half)), min(1.0, max(mean, middle + half)))


def estimate_difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Of the difference between two models on the same questions, question by question (Miller, arXiv:2411.00640)."""
    differences = [own - other for own, other in zip(ours, theirs, strict=True)]
    mean = fmean(differences)
    error = stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else 0.0
    return Estimate(mean, error, mean - Z * error, mean + Z * error)


def _check(num_samples: int, num_right: int, k: int) -> None:
    if not (0 <= num_right <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"{num_right} right of {num_samples} samples, k = {k}: wanted 0 <= right <= samples >= k >= 1")
