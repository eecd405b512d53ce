"""Every estimator against all subsets of a small case, and intervals against a thousand repetitions."""

from itertools import combinations
from random import Random
from statistics import fmean

import pytest

from thinkwright.evaluation.estimators import (
    estimate_share,
    g_pass_at_k,
    majority_at_k,
    pass_at_k,
)

CASES = [(n, c, k) for n in range(1, 8) for c in range(n + 1) for k in range(1, n + 1)]


@pytest.mark.parametrize(("n", "c", "k"), CASES)
def test_pass_and_g_pass_are_means_over_all_subsets(n: int, c: int, k: int) -> None:
    rights = [sum(chosen) for chosen in combinations([1] * c + [0] * (n - c), k)]
    assert pass_at_k(n, c, k) == pytest.approx(fmean(right > 0 for right in rights))
    for share in (0.25, 0.5, 0.75, 1.0):
        assert g_pass_at_k(n, c, k, share) == pytest.approx(fmean(right >= share * k for right in rights))


def test_a_majority_says_its_ties_and_nobody_votes_for_no_answer() -> None:
    answers, marks = ["4", None, "5", None, "4", None], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert majority_at_k(answers, marks, 6).mark == 1.0
    tied = majority_at_k(["4", "5", "6", None], [1.0, 0.0, 0.0, 0.0], 4)
    assert (tied.mark, tied.ties) == (pytest.approx(1 / 3), 1.0)
    assert majority_at_k([None, None], [0.0, 0.0], 2).mark == 0.0
    assert (
        majority_at_k(answers, marks, 3) == majority_at_k(answers, marks, 3) != majority_at_k(answers, marks, 3, seed=1)
    )


def test_a_majority_of_fewer_comes_near_the_mean_over_all_subsets() -> None:
    rng = Random(0)
    answers = [rng.choice("aab") for _ in range(9)]
    marks = [float(answer == "a") for answer in answers]
    exact = fmean(
        majority_at_k([answers[i] for i in s], [marks[i] for i in s], 3).mark for s in combinations(range(9), 3)
    )
    assert majority_at_k(answers, marks, 3).mark == pytest.approx(exact, abs=0.1)


@pytest.mark.parametrize(("spread", "level"), [(0.0, 0.5), (0.0, 0.97), (1.0, 0.5), (1.0, 0.9), (0.4, 0.8)])
def test_intervals_hold_the_truth_in_95_of_100_evaluations(spread: float, level: float) -> None:
    """``spread`` 1: every question is known or not known; 0: all questions are as hard."""
    rng = Random(f"{spread}/{level}")
    hits = 0
    for _ in range(1000):
        values: list[float] = []
        for _ in range(100):
            chance = level if rng.random() >= spread else float(rng.random() < level)
            values.append(fmean(rng.random() < chance for _ in range(4)))
        found = estimate_share(values)
        hits += found.low <= level <= found.high
    # Wilson's interval itself comes to 0.936 for 100 marks of 0.9, and a thousand repetitions err by 0.008.
    assert 0.92 <= hits / 1000 <= 0.98


def test_shares_at_the_edge_have_an_interval_all_the_same() -> None:
    found = estimate_share([1.0] * 30)
    assert (found.mean, found.high) == (1.0, 1.0)
    assert 0.85 < found.low < 0.9


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="wanted 0 <= right"):
        pass_at_k(n, c, k)
