"""Every estimator against all subsets of a small case, and intervals against a thousand repetitions."""

from itertools import combinations
from random import Random
from statistics import fmean

import pytest

from thinkwright.evaluation.estimators import (
    best_of_k,
    estimate_difference,
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


@pytest.mark.parametrize("k", range(1, 7))
def test_the_best_of_k_is_a_mean_over_all_subsets_and_equal_scores_share(k: int) -> None:
    scores, marks = [0.3, 0.9, 0.3, 0.1, 0.9, 0.5], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    found: list[float] = []
    for chosen in combinations(range(6), k):
        top = max(scores[i] for i in chosen)
        # A tie within the subset is broken by chance.
        found.append(fmean(marks[i] for i in chosen if scores[i] == top))
    assert best_of_k(scores, marks, k) == pytest.approx(fmean(found))


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


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    rng, hits = Random(1), 0
    for _ in range(500):
        hard = [rng.random() for _ in range(80)]
        ours = [fmean(rng.random() < min(1.0, h + 0.05) for _ in range(8)) for h in hard]
        theirs = [fmean(rng.random() < h for _ in range(8)) for h in hard]
        truth = fmean(min(1.0, h + 0.05) - h for h in hard)
        found = estimate_difference(ours, theirs)
        hits += found.low <= truth <= found.high
        assert found.standard_error < estimate_share(ours).standard_error
    assert hits / 500 > 0.92


def test_shares_at_the_edge_have_an_interval_all_the_same() -> None:
    found = estimate_share([1.0] * 30)
    assert (found.mean, found.high) == (1.0, 1.0)
    assert 0.85 < found.low < 0.9


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="wanted 0 <= right"):
        pass_at_k(n, c, k)


def test_an_interval_by_hand() -> None:
    # Wilson's for 1 of as many as have this error.
    found = estimate_share([1.0, 0.0, 0.0, 0.0])
    count = 0.25 * 0.75 / found.standard_error**2
    assert found.standard_error == pytest.approx(0.25)  # sqrt(4 * 0.1875 / 3) / 2
    assert count == pytest.approx(3.0)
    z2 = 1.959963984540054**2
    middle, half = (0.25 + z2 / 6) / (1 + z2 / 3), (z2 * 0.1875 / 3 + z2 * z2 / 36) ** 0.5 / (1 + z2 / 3)
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, middle - half, middle + half))


def test_one_question_has_no_error_that_could_be_seen_and_a_wide_interval() -> None:
    found = estimate_share([0.5])
    assert (found.mean, found.standard_error) == (0.5, 0.0)
    assert (found.low, found.high) == pytest.approx((0.054621, 0.945379), abs=1e-6)
    alone = estimate_difference([0.75], [0.5])
    assert (alone.mean, alone.standard_error, alone.low, alone.high) == (0.25, 0.0, 0.25, 0.25)


def test_a_difference_by_hand() -> None:
    found = estimate_difference([1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0])
    error = (1 / 3) ** 0.5 / 2
    assert (found.mean, found.standard_error) == pytest.approx((0.5, error))
    assert (found.low, found.high) == pytest.approx((0.5 - 1.959964 * error, 0.5 + 1.959964 * error), abs=1e-6)


def test_shares_of_nothing_and_everything_stay_within_their_bounds() -> None:
    none, every = estimate_share([0.0] * 10), estimate_share([1.0] * 10)
    assert (none.low, none.mean) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - every.low)
    assert none.high == pytest.approx(0.277533, abs=1e-6)


def test_lists_of_different_lengths_are_refused() -> None:
    for call in (
        lambda: estimate_difference([1.0], [1.0, 0.0]),
        lambda: best_of_k([0.5], [1.0, 0.0], 1),
        lambda: majority_at_k(["a"], [1.0, 0.0], 1),
    ):
        with pytest.raises(ValueError, match=r"zip\(\)"):
            call()


@pytest.mark.parametrize("k", [0, 3])
def test_more_samples_than_there_are_cannot_be_asked_for(k: int) -> None:
    for call in (
        lambda: best_of_k([0.5, 0.1], [1.0, 0.0], k),
        lambda: majority_at_k(["a", "b"], [1.0, 0.0], k),
        lambda: g_pass_at_k(2, 1, k, 0.5),
    ):
        with pytest.raises(ValueError, match=f"k = {k}"):
            call()


def test_a_share_that_rounding_has_raised_asks_for_no_more_right_ones() -> None:
    assert g_pass_at_k(10, 3, 10, 0.1 + 0.2) == 1.0  # 0.30000000000000004 of ten are three
    assert g_pass_at_k(4, 1, 2, 0.0) == pass_at_k(4, 1, 2)  # one at least


def test_a_vote_without_an_answer_is_worth_nothing_and_no_tie() -> None:
    nothing = majority_at_k([None, None], [1.0, 1.0], 2)
    assert (nothing.mark, nothing.ties) == (0.0, 0.0)
    # Of two samples, none answers in 3 of 10 pairs; two answers tie in 1 of them.
    few = majority_at_k(["a", "b", None, None, None], [1.0, 1.0, 0.0, 0.0, 0.0], 2)
    assert few.mark == pytest.approx(0.7, abs=0.1)
    assert few.ties == pytest.approx(0.1, abs=0.06)


def test_two_questions_are_enough_for_an_error() -> None:
    assert estimate_difference([1.0, 0.0], [0.0, 0.0]).standard_error == pytest.approx(0.5)
    assert estimate_share([1.0, 0.0]).standard_error == pytest.approx(0.5)
