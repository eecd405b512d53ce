"""What a step's rollouts say: rewards, lengths, signs of thought, and how fast each phase was.

Names follow the field's where it has them (``reward_std``, ``clipped_ratio`` and the like in TRL), under our prefixes.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev

from thinkwright.rewards.reflection import checks_itself, corrects_itself, reflection_counts
from thinkwright.rewards.score import SampledGroup
from thinkwright.types import Metrics, Outcome, RolloutGroup, ScoredRollout, TrainingGroup

_SHARES: dict[str, Outcome] = {"reward/failed": "failed", "reward/timeouts": "timeout", "reward/skipped": "skipped"}
_EPSILON = 1e-6


class Timed:
    """A scoring function that counts the seconds it was at work, also beside the sampling."""

    def __init__(self, score: Callable[[Sequence[SampledGroup]], list[RolloutGroup]]) -> None:
        self._score = score
        self.seconds = 0.0

    def __call__(self, groups: Sequence[SampledGroup]) -> list[RolloutGroup]:
        start = time.monotonic()
        try:
            return self._score(groups)
        finally:
            self.seconds += time.monotonic() - start


def group_metrics(groups: Sequence[RolloutGroup]) -> Metrics:
    """Means over all rollouts of the groups; of rewards, over those that were graded. Lengths in tokens."""
    members = [member for group in groups for member in group.members]
    graded = [member for member in members if member.outcome == "graded"]
    metrics: Metrics = {}
    if graded:
        metrics |= {f"reward/{name}": fmean(m.scores[name] for m in graded) for name in graded[0].scores}
        metrics["reward/total"] = fmean(member.reward for member in graded)
    metrics |= {name: fmean(m.outcome == outcome for m in members) for name, outcome in _SHARES.items()}
    return metrics | _variance_metrics(groups) | _length_metrics(members) | _thought_metrics(members)


def account(groups: Sequence[RolloutGroup]) -> Metrics:
    """What became of every rollout of a step: ``rollout/sampled`` is the sum of the four others.

    Learned from; not graded; of a group without variance; or left out of a group that taught, since it was cut.
    """
    counts = dict.fromkeys(("sampled", "learned", "not_graded", "without_variance", "left_out"), 0)
    for group in groups:
        teaches = any(member.advantage is not None for member in group.members)
        for member in group.members:
            kind = "left_out" if teaches else "without_variance"
            if member.outcome != "graded":
                kind = "not_graded"
            elif member.advantage is not None:
                kind = "learned"
            counts["sampled"] += 1
            counts[kind] += 1
    return {f"rollout/{name}": count for name, count in counts.items()}


def speed_metrics(
    num_tokens: int,
    rollout_seconds: float,
    by_rule: Sequence[RolloutGroup],
    scoring_seconds: float,
    learned: Sequence[TrainingGroup],
    update_seconds: float,
) -> Metrics:
    """How fast each phase was: tokens sampled, answers that rules graded, and tokens learned from, a second.

    Grading goes on beside the sampling, so its seconds are those it was at work, not those the step waited for it.
    """
    metrics = {"rollout/tokens_per_second": num_tokens / rollout_seconds}
    if scoring_seconds > 0:
        metrics["reward/answers_per_second"] = sum(len(group.members) for group in by_rule) / scoring_seconds
    if learned:
        num_learned = sum(len(member.token_ids) for group in learned for member in group.members)
        metrics["update/tokens_per_second"] = num_learned / update_seconds
    return metrics


def _variance_metrics(groups: Sequence[RolloutGroup]) -> Metrics:
    """Standard deviation of rewards within groups (the population's), and the share of groups that have none.

    These teach nothing: all right, all wrong, or neither where other rewards settle it. Groups with fewer than two
    graded members are left out.
    """
    graded = [[member for member in group.members if member.outcome == "graded"] for group in groups]
    compared = [members for members in graded if len(members) > 1]
    if not compared:
        return {}
    deviations = [pstdev([member.reward for member in members]) for members in compared]
    flat = [members for members, deviation in zip(compared, deviations, strict=True) if deviation <= _EPSILON]
    return {
        "reward/group_std": fmean(deviations),
        "rollout/all_right_groups": sum(all(map(_is_right, members)) for members in flat) / len(compared),
        "rollout/all_wrong_groups": sum(not any(map(_is_right, members)) for members in flat) / len(compared),
    }


def _length_metrics(members: Sequence[ScoredRollout]) -> Metrics:
    """Response lengths: of all, the shortest and longest, and means of kinds as far as there are such."""
    lengths = [len(member.rollout.token_ids) for member in members]
    kinds = {
        "right": [m for m in members if m.outcome == "graded" and _is_right(m)],
        "wrong": [m for m in members if m.outcome == "graded" and not _is_right(m)],
        "finished": [m for m in members if m.rollout.finish_reason == "stop"],
        "truncated": [m for m in members if m.rollout.finish_reason == "length"],
    }
    means = {
        f"rollout/response_tokens_{kind}": fmean(len(member.rollout.token_ids) for member in found)
        for kind, found in kinds.items()
        if found
    }
    return {
        "rollout/response_tokens": fmean(lengths),
        "rollout/response_tokens_min": min(lengths),
        "rollout/response_tokens_max": max(lengths),
        **means,
        "rollout/truncated_rate": len(kinds["truncated"]) / len(members),
    }


def interruption_metrics(groups: Sequence[RolloutGroup]) -> Metrics:
    """Share of completions whose thought was closed."""
    members = [member for group in groups for member in group.members]
    return {"rollout/interrupted_rate": fmean(any(member.rollout.is_forced) for member in members)}


def _thought_metrics(members: Sequence[ScoredRollout]) -> Metrics:
    """Reflective words a response, each and together, and shares of responses that check and correct themselves."""
    texts = [member.rollout.text for member in members]
    counts = [reflection_counts(text) for text in texts]
    totals = [sum(found.values()) for found in counts]
    return {
        "rollout/reflection_rate": fmean(total > 0 for total in totals),
        "rollout/reflection_words": fmean(totals),
        "rollout/checking_rate": fmean(map(checks_itself, texts)),
        "rollout/correcting_rate": fmean(map(corrects_itself, texts)),
        **{f"reflection/{word}": fmean(found[word] for found in counts) for word in counts[0]},
    }


def _is_right(member: ScoredRollout) -> bool:
    return member.scores["accuracy"] == 1.0
