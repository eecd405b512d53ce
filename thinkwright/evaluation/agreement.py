"""How far judges agree on which response is better."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import permutations
from statistics import fmean

from thinkwright.tasks.preferences import PreferencePair


def agreement_figures(judged: Sequence[PreferencePair]) -> dict[str, float]:
    """Figures of pairs with two votes or more each, at least one pair.

    ``unanimous``: share whose votes are all the same. ``majority_share``: mean share of the votes that say what most
    say. ``ties``: share with as many votes for as against. ``contradicted``: share whose stored choice has more votes
    against it than for it. ``alpha``: Krippendorff's, over the votes first, second and tie.
    """
    signs = [[_sign(vote) for vote in pair.votes] for pair in judged]
    return {
        "unanimous": fmean(len(set(votes)) == 1 for votes in signs),
        "majority_share": fmean(max(Counter(votes).values()) / len(votes) for votes in signs),
        "ties": fmean(sum(votes) == 0 for votes in signs),
        "contradicted": fmean(sum(votes) < 0 for votes in signs),
        "alpha": krippendorff_alpha(_by_position(judged, signs)),
    }


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float:
    """Agreement beyond chance on what each unit is, by any number of judges a unit; 1 is perfect, 0 is chance.

    1 - D_o / D_e with nominal differences over the coincidences of values within units: Krippendorff, "Computing
    Krippendorff's Alpha-Reliability" (2011), sections A to C. Units of one value count for nothing. 1 if only one value
    was ever given.
    """
    coincidences: defaultdict[tuple[Hashable, Hashable], float] = defaultdict(float)
    for values in units:
        for pair in permutations(values, 2):
            coincidences[pair] += 1 / (len(values) - 1)
    totals: defaultdict[Hashable, float] = defaultdict(float)
    for (one, _), count in coincidences.items():
        totals[one] += count
    num_values = sum(totals.values())
    observed = sum(count for (one, other), count in coincidences.items() if one != other)
    expected = sum(totals[one] * totals[other] for one, other in permutations(totals, 2)) / (num_values - 1)
    return 1 - observed / expected if expected else 1.0


def _by_position(pairs: Sequence[PreferencePair], signs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Votes as judges gave them: 1 for the response shown first, -1 for the second, 0 for neither.

    Which is the chosen one was told from the votes, so votes for "the chosen one" would agree by that alone. Where a
    row does not say which was shown first, each pair counts both ways round.
    """
    if all(pair.first is not None for pair in pairs):
        return [
            [vote if pair.first == "chosen" else -vote for vote in votes]
            for pair, votes in zip(pairs, signs, strict=True)
        ]
    return [[turn * vote for vote in votes] for votes in signs for turn in (1, -1)]


def _sign(vote: float) -> int:
    return (vote > 0) - (vote < 0)
