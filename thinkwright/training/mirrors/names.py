"""What metrics are called where runs of other programs stand beside ours: TRL's names, as its dashboards show them.

TRL 1.x hands ``reward`` or ``kl`` to transformers, whose callbacks for TensorBoard, trackio and Weights & Biases put
``train/`` before it, and ``eval/`` before what an evaluation measured. So do we: then a run of TRL and one of ours draw
into the same charts. What TRL has no name for keeps ours, which says its part of the run by its prefix.

Not called by TRL's name, since they are something else: ``rollout/tokens`` counts the completions of one step
(``num_tokens`` counts prompts, too, and adds up); ``sft/epoch`` counts whole epochs (``epoch`` is a fraction); groups
that are all right or all wrong are not all groups of one reward (``frac_reward_zero_std``).
"""

from collections.abc import Mapping
from typing import Any

NAMES = {
    "reward/total": "train/reward",
    "reward/group_std": "train/reward_std",
    "rollout/response_tokens": "train/completions/mean_length",
    "rollout/response_tokens_min": "train/completions/min_length",
    "rollout/response_tokens_max": "train/completions/max_length",
    "rollout/response_tokens_finished": "train/completions/mean_terminated_length",
    "rollout/truncated_rate": "train/completions/clipped_ratio",
    "policy/entropy": "train/entropy",
    "policy/kl": "train/kl",
    "policy/clip_fraction": "train/clip_ratio/region_mean",
    "policy/logprob_gap": "train/sampling/sampling_logp_difference/mean",
    "policy/off_policy_gap": "train/sampling/sampling_logp_difference/mean",
    "policy/correction": "train/sampling/importance_sampling_ratio/mean",
    "loss/total": "train/loss",
    "loss/nll": "train/loss",
    "loss/preference": "train/loss",
    "loss/reverse_kl": "train/loss",
    "optim/lr": "train/learning_rate",
    "optim/grad_norm": "train/grad_norm",
    "time/step_seconds": "train/step_time",
}
"""Ours -> theirs. A kind of run has one loss that it makes small, so no two of these meet in one row."""
REWARD, THEIR_REWARD = "reward/", "train/rewards/{}/mean"
"""Mean of one reward by name; TRL calls it after its function."""
KEPT = (
    "reward/failed",
    "reward/timeouts",
    "reward/skipped",
    "reward/answers_per_second",
    "loss/policy",
    "loss/kl",
    "policy/version",
    "rollout/tokens",
    "rollout/sampled",
    "rollout/learned",
    "rollout/not_graded",
    "rollout/without_variance",
    "rollout/left_out",
    "rollout/traces",
    "rollout/tokens_per_second",
    "rollout/skipped_groups",
    "rollout/all_right_groups",
    "rollout/all_wrong_groups",
    "rollout/reflection_rate",
    "rollout/reflection_words",
    "rollout/checking_rate",
    "rollout/correcting_rate",
    "rollout/response_tokens_right",
    "rollout/response_tokens_wrong",
    "rollout/response_tokens_truncated",
    "critic/",
    "curriculum/",
    "general/",
    "preference/",
    "reflection/",
    "sft/",
    "time/",
    "update/",
)
"""Ours that stay as they are; one that ends in a slash stands for all that begin with it."""
FIGURES = {
    "held_out_loss": "loss",
    "held_out_accuracy": "accuracy",
    "mean_response_tokens": "completions/mean_length",
    "truncated_rate": "completions/clipped_ratio",
}
"""Held-out figures, ours -> theirs after ``eval/``; all others keep their names there."""
_NO_FIGURES = ("settings", "set_aside_examples")


def field_name(metric: str) -> str:
    """What a metric of a training step is called in the field; our own name where the field has none."""
    if metric in NAMES:
        return NAMES[metric]
    if metric.startswith(REWARD) and metric not in KEPT:
        return THEIR_REWARD.format(metric.removeprefix(REWARD))
    return metric


def field_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of ``metrics.jsonl`` by the field's names, without its step."""
    return {field_name(name): value for name, value in row.items() if name != "step" and _is_number(value)}


def field_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a held-out evaluation by the field's names; parts of a figure, such as families, after a slash."""
    return {
        f"eval/{FIGURES.get(name, name)}": value
        for name, value in _leaves({key: value for key, value in figures.items() if key not in _NO_FIGURES})
    }


def _leaves(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{prefix}{name}/")
        elif _is_number(value):
            found.append((f"{prefix}{name}", value))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
