"""Agreement of judges, against published examples and by hand."""

from collections.abc import Sequence

import pytest

from thinkwright.evaluation.agreement import agreement_figures, krippendorff_alpha
from thinkwright.tasks.preferences import PreferencePair, Response, Side

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 12 units, 4 observers; .743.
KRIPPENDORFF = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
# The example of the Wikipedia article on the measure: 15 units, 3 observers; nominal .691.
THREE_OBSERVERS = (
    ". . . . . 3 4 1 2 1 1 3 3 . 3",
    "1 . 2 1 3 3 4 3 . . . . . . .",
    ". . 2 1 3 4 4 . 2 1 1 3 3 . 4",
)


def pair(votes: Sequence[float], first: Side | None = None) -> PreferencePair:
    return PreferencePair("f:1", "Q?", Response(None, "a"), Response(None, "b"), first, tuple(votes), "en")


@pytest.mark.parametrize(("table", "alpha"), [(KRIPPENDORFF, 0.743), (THREE_OBSERVERS, 0.691)])
def test_alpha_of_published_examples(table: Sequence[str], alpha: float) -> None:
    columns = zip(*(row.split() for row in table), strict=True)
    units = [[value for value in column if value != "."] for column in columns]
    assert krippendorff_alpha(units) == pytest.approx(alpha, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1.0
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) == 1.0
    assert krippendorff_alpha([["a", "b"], ["a", "b"]]) == pytest.approx(1 - 4 / (8 / 3))


def test_figures_by_hand() -> None:
    pairs = [pair([1, 1, 1]), pair([1, 0.5, -1]), pair([1, -2]), pair([-1, -1, 1]), pair([0, 0])]
    figures = agreement_figures(pairs)
    assert figures["unanimous"] == 2 / 5
    assert figures["majority_share"] == pytest.approx((1 + 2 / 3 + 1 / 2 + 2 / 3 + 1) / 5)
    assert figures["ties"] == 2 / 5
    assert figures["contradicted"] == 1 / 5


def test_votes_for_whatever_was_chosen_do_not_agree_by_that_alone() -> None:
    # Three coins a pair: the chosen one has most votes by definition, yet the judges agree on nothing.
    votes = [[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]
    both_ways: list[PreferencePair] = [pair(v, first) for v in votes for first in ("chosen", "rejected")]  # type: ignore[misc]
    known, unknown = (agreement_figures(pairs)["alpha"] for pairs in (both_ways, [pair(v) for v in votes]))
    assert known == pytest.approx(unknown)
    assert abs(known) < 0.1
    # Judges who always vote for what is shown first agree on no more than one value.
    assert agreement_figures([pair([1, 1], "chosen"), pair([-1, -1], "rejected")])["alpha"] == 1.0
