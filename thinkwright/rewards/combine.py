"""From the scores of a group's rollouts, by name, to one reward each."""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

from thinkwright.config.rewards import RewardWeights

_EPSILON = 1e-6
_PENALTIES = frozenset({"overlong", "repetition", "lazy_length", "target_length"})


def penalties(rewards: RewardWeights) -> frozenset[str]:
    """Rewards that are 0 when nothing is wrong and count below it else, of those that have a weight."""
    return frozenset(name for name, weight in rewards.weights().items() if weight < 0 or name in _PENALTIES)


def combine(
    group: Sequence[Mapping[str, float]], rewards: RewardWeights, is_counted: Sequence[bool] | None = None
) -> list[float]:
    """The weighted sum of each rollout's scores; the scores themselves stay as they are, for the breakdown.

    A reward that is paid only when correct counts 0 where accuracy is not 1. With ``normalize = "per_reward"`` each is
    then normalised in the group; one that is the same for all counts 0. ``is_counted``: the members that means and
    deviations are taken of, all without it.
    """
    weights, held_back = rewards.weights(), frozenset(rewards.paid_only_when_correct)
    paid = [
        {
            name: 0.0 if name in held_back and scores["accuracy"] != 1.0 else score
            for name, score in scores.items()
            if name in weights
        }
        for scores in group
    ]
    if rewards.normalize == "per_reward":
        paid = _normalized(paid, is_counted if is_counted is not None else [True] * len(paid))
    return [sum(weights[name] * score for name, score in scores.items()) for scores in paid]


def _normalized(group: Sequence[Mapping[str, float]], is_counted: Sequence[bool]) -> list[dict[str, float]]:
    counted = [scores for scores, counts in zip(group, is_counted, strict=True) if counts] or group
    means = {name: fmean(scores[name] for scores in counted) for name in counted[0]} if counted else {}
    deviations = {name: pstdev([scores[name] for scores in counted], mean) for name, mean in means.items()}
    return [
        {
            name: (score - means[name]) / deviations[name] if deviations[name] > _EPSILON else 0.0
            for name, score in scores.items()
        }
        for scores in group
    ]
