"""What several samples a question say of a model: pass@k, G-Pass@k, cons@k, and how sure one can be.

Pure functions of marks; nothing here samples from a model or grades. A question's n samples are exchangeable, so every
figure for k of them is the mean over all subsets of size k, in closed form where there is one.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil, comb, sqrt
from random import Random
from statistics import fmean, stdev

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


@dataclass(frozen=True)
class Vote:
    """What a majority of answers comes to."""

    mark: float
    """Mean mark of the answer that most gave; tied answers share it."""
    ties: float
    """Share of votes that were tied."""


def majority_at_k(answers: Sequence[Hashable | None], marks: Sequence[float], k: int, seed: int = 0) -> Vote:
    """cons@k: the answer that most of k samples give (Wang et al., arXiv:2203.11171).

    None stands for no answer, which never wins.
    Over all n exactly; for smaller k over ``SUBSETS`` random subsets, the same for the same seed. Equal answers must
    have equal marks. A vote without any answer is worth 0.
    """
    _check(len(answers), 0, k)
    if k == len(answers):
        return _vote(answers, marks, range(k))
    rng = Random(f"majority/{seed}/{k}")
    votes = [_vote(answers, marks, rng.sample(range(len(answers)), k)) for _ in range(SUBSETS)]
    return Vote(fmean(vote.mark for vote in votes), fmean(vote.ties for vote in votes))


def _vote(answers: Sequence[Hashable | None], marks: Sequence[float], voters: Sequence[int]) -> Vote:
    counts = Counter(answer for voter in voters if (answer := answers[voter]) is not None)
    if not counts:
        return Vote(0.0, 0.0)
    most = max(counts.values())
    mark_of = {answers[voter]: marks[voter] for voter in voters}
    leaders = [answer for answer, count in counts.items() if count == most]
    return Vote(fmean(mark_of[answer] for answer in leaders), float(len(leaders) > 1))


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


def _check(num_samples: int, num_right: int, k: int) -> None:
    if not (0 <= num_right <= num_samples and 1 <= k <= num_samples):
        raise ValueError(f"{num_right} right of {num_samples} samples, k = {k}: wanted 0 <= right <= samples >= k >= 1")
