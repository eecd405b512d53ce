"""Figures of reward models, worked out by hand."""

import math

import pytest

from thinkwright.evaluation.preference_figures import ScoredPair, position_bias, preference_figures

# Told right, wrong, right by a hair, and a tie; the chosen one longer, shorter, as long, shorter.
PAIRS = [
    ScoredPair(2.0, -2.0, 10, 4),
    ScoredPair(0.0, 1.0, 3, 8),
    ScoredPair(0.5, 0.4, 5, 5),
    ScoredPair(1.0, 1.0, 2, 6),
]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_accuracy_and_length_bias_of_pairs() -> None:
    figures = preference_figures(PAIRS, is_pairwise=True)
    assert figures["held_out_pairs"] == 4
    assert figures["held_out_accuracy"] == (1 + 0 + 1 + 0.5) / 4
    assert figures["held_out_accuracy_standard_error"] == pytest.approx(math.sqrt(0.625 * 0.375 / 4))
    assert figures["longer_wins_accuracy"] == (1 + 0 + 0.5 + 0) / 4
    assert figures["accuracy_chosen_longer"] == 1.0
    assert figures["accuracy_chosen_shorter"] == (0 + 0.5) / 2
    assert figures["length_bias"] == 0.75
    margins, differences = [4.0, -1.0, 0.1, 0.0], [6.0, -5.0, 0.0, -4.0]
    mean_m, mean_d = sum(margins) / 4, sum(differences) / 4
    covariance = sum((m - mean_m) * (d - mean_d) for m, d in zip(margins, differences, strict=True))
    spread = math.sqrt(sum((m - mean_m) ** 2 for m in margins) * sum((d - mean_d) ** 2 for d in differences))
    assert figures["score_length_correlation"] == pytest.approx(covariance / spread)
    assert "auroc" not in figures


def test_calibration_of_pairs_is_of_the_preferred_side() -> None:
    figures = preference_figures(PAIRS, is_pairwise=True)
    near = (sigmoid(0.1) + sigmoid(0.0)) / 2
    assert figures["calibration_bins"] == [
        {"said": pytest.approx(near), "was": 0.75, "count": 2},
        {"said": pytest.approx(sigmoid(1.0)), "was": 0.0, "count": 1},
        {"said": pytest.approx(sigmoid(4.0)), "was": 1.0, "count": 1},
    ]
    wanted = (2 * abs(near - 0.75) + sigmoid(1.0) + 1 - sigmoid(4.0)) / 4
    assert figures["calibration_error"] == pytest.approx(wanted)


def test_single_responses() -> None:
    singles = [ScoredPair(2.0, None, 3, 0), ScoredPair(-1.0, None, 3, 0), ScoredPair(None, -1.0, 0, 3)]
    singles += [ScoredPair(None, -3.0, 0, 3), ScoredPair(None, 0.0, 0, 3)]
    figures = preference_figures(singles, is_pairwise=False)
    assert figures["single_accuracy"] == figures["held_out_accuracy"] == (1 + 0 + 1 + 1 + 0.5) / 5
    # 2 is above all three; -1 is above -3, ties with -1, is under 0.
    assert figures["auroc"] == pytest.approx((3 + 1 + 0.5) / 6)
    assert "length_bias" not in figures
    bins = {round(found["said"], 3): found for found in figures["calibration_bins"]}
    assert bins[round(sigmoid(-1.0), 3)] == {"said": pytest.approx(sigmoid(-1.0)), "was": 0.5, "count": 2}


def test_single_responses_of_one_kind_have_no_auroc_and_pairs_among_them_count_as_pairs() -> None:
    figures = preference_figures([ScoredPair(2.0, None, 3, 0)], is_pairwise=False)
    assert "auroc" not in figures
    assert figures["held_out_accuracy"] == 1.0
    figures = preference_figures([ScoredPair(-1.0, -2.0, 3, 2), ScoredPair(-1.0, None, 3, 0)], is_pairwise=False)
    assert (figures["held_out_accuracy"], figures["single_accuracy"]) == (1.0, pytest.approx(1 / 3))


def test_scores_beyond_any_probability_are_still_told_apart() -> None:
    pairs = [ScoredPair(80.0, None, 1, 0), ScoredPair(None, 60.0, 0, 1)]
    assert preference_figures(pairs, is_pairwise=False)["auroc"] == 1.0


def test_position_bias() -> None:
    assert position_bias([]) == {}
    found = position_bias(["chosen", "chosen", "rejected", "chosen"])
    assert found == {"first_chosen": 0.75, "first_chosen_standard_error": pytest.approx(math.sqrt(0.1875 / 4))}
