"""Figures of an evaluation from its samples."""

from collections import defaultdict
from collections.abc import Sequence
from math import comb
from statistics import fmean
from typing import Any

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.language import language_consistency, question_words
from thinkwright.rewards.reflection import count_reflection_words
from thinkwright.types import RolloutGroup

Sample = dict[str, Any]


def samples_of(groups: Sequence[RolloutGroup]) -> list[Sample]:
    """One row per completion, as it is stored and shown."""
    rows: list[Sample] = []
    for group in groups:
        prompt = group.prompt
        for member in group.members:
            reply = TEMPLATES[prompt.template].split(member.rollout.text)
            rows.append(
                {
                    "prompt_id": prompt.prompt_id,
                    "family": prompt.family,
                    "level": prompt.level,
                    "language": prompt.language,
                    "question": prompt.question,
                    "gold": prompt.gold,
                    "text": member.rollout.text,
                    "thought": reply.thought,
                    "answer": reply.answer,
                    "is_well_formed": member.scores["format"] == 1.0,
                    "is_bare": reply.is_bare,
                    "score": member.scores["accuracy"],
                    "is_correct": member.scores["accuracy"] == 1.0,
                    "response_tokens": len(member.rollout.token_ids),
                    "finish_reason": member.rollout.finish_reason,
                    "reflection_words": count_reflection_words(member.rollout.text),
                    "language_consistency": language_consistency(
                        reply.thought, prompt.language, question_words(prompt.question)
                    ),
                }
            )
    return rows


def figures_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Means over all samples; the standard error counts questions, not samples (samples of one question are alike)."""
    return {
        "accuracy": _mean(samples, "is_correct"),
        "accuracy_standard_error": _standard_error(samples),
        "accuracy_by_family": _by(samples, "family", "is_correct"),
        "accuracy_by_level": _by(samples, "level", "is_correct"),
        "tokens_by_level": _by(samples, "level", "response_tokens"),
        "format_rate": _mean(samples, "is_well_formed"),
        "mean_response_tokens": _mean(samples, "response_tokens"),
        "reflection_rate": fmean(row["reflection_words"] > 0 for row in samples),
        "reflection_words": _mean(samples, "reflection_words"),
        "truncated_rate": fmean(row["finish_reason"] == "length" for row in samples),
        "language_consistency": _mean(samples, "language_consistency"),
        "num_samples": len(samples),
        **pass_at_k(samples),
    }


def pass_at_k(samples: Sequence[Sample]) -> dict[str, float]:
    """Chance that one of k samples of a question is right, as ``pass_at_k``, k = 2, 4, 8 ... and all that were drawn.

    The unbiased estimator of Chen et al. (arXiv:2107.03374, equation 1): 1 - C(n - c, k) / C(n, k) of a question with
    c right ones among n samples. Questions of which fewer than k samples could be graded do not count for that k.
    """
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in samples:
        counts[row["prompt_id"]][0] += 1
        counts[row["prompt_id"]][1] += bool(row["is_correct"])
    most = max((n for n, _ in counts.values()), default=0)
    sizes = sorted({most, *(2**i for i in range(1, most.bit_length()))} - {0, 1})
    return {f"pass_at_{k}": fmean(1 - comb(n - c, k) / comb(n, k) for n, c in counts.values() if n >= k) for k in sizes}


def _mean(samples: Sequence[Sample], key: str) -> float:
    return fmean(float(row[key]) for row in samples)


def _by(samples: Sequence[Sample], group_key: str, value_key: str) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for row in samples:
        values[str(row[group_key])].append(float(row[value_key]))
    return {name: fmean(found) for name, found in sorted(values.items())}


def _standard_error(samples: Sequence[Sample]) -> float:
    """Standard error of the mean accuracy, clustered by question (Miller, arXiv:2411.00640, equation 4)."""
    mean = _mean(samples, "is_correct")
    clusters: dict[str, float] = defaultdict(float)
    for row in samples:
        clusters[row["prompt_id"]] += float(row["is_correct"]) - mean
    return sum(total * total for total in clusters.values()) ** 0.5 / len(samples)
