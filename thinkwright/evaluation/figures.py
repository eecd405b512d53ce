"""Figures of an evaluation from its samples."""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from thinkwright.chat.template import TEMPLATES
from thinkwright.evaluation.canonical import NOT_VOTED, canonical_answer
from thinkwright.evaluation.estimators import (
    MajorityVote,
    best_of_k,
    estimate_difference,
    estimate_share,
    g_pass_at_k,
    majority_at_k,
    pass_at_k,
)
from thinkwright.rewards.language import language_consistency, question_words
from thinkwright.rewards.reflection import count_reflection_words
from thinkwright.types import RolloutGroup

Sample = dict[str, Any]
G_PASS_SHARES = (0.5, 0.75, 1.0)


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
                    "verifier": prompt.verifier,
                    "text": member.rollout.text,
                    "thought": reply.thought,
                    "answer": reply.answer,
                    "canonical": canonical_answer(reply.answer, prompt.verifier),
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
    """Means over questions, each the mean of its samples, with a 95 % interval; and means over all samples."""
    questions = list(by_question(samples).values())
    accuracy = estimate_share([_mean(rows, "is_correct") for rows in questions])
    return {
        "accuracy": accuracy.mean,
        "accuracy_standard_error": accuracy.standard_error,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "accuracy_by_family": _by(samples, "family", "is_correct"),
        "accuracy_by_level": _by(samples, "level", "is_correct"),
        "tokens_by_level": _by(samples, "level", "response_tokens"),
        "format_rate": _mean(samples, "is_well_formed"),
        "no_answer_rate": fmean(row["answer"] is None for row in samples),
        "mean_response_tokens": _mean(samples, "response_tokens"),
        **_parts_of_responses(samples),
        "reflection_rate": fmean(row["reflection_words"] > 0 for row in samples),
        "reflection_words": _mean(samples, "reflection_words"),
        "truncated_rate": fmean(row["finish_reason"] == "length" for row in samples),
        "language_consistency": _mean(samples, "language_consistency"),
        "num_samples": len(samples),
        **_figures_of_several(questions),
    }


def _parts_of_responses(samples: Sequence[Sample]) -> dict[str, float]:
    """Tokens of thought and of all the rest, where they were counted."""
    if any(row.get("thinking_tokens") is None for row in samples):
        return {}
    thinking = _mean(samples, "thinking_tokens")
    return {"mean_thinking_tokens": thinking, "mean_answer_tokens": _mean(samples, "response_tokens") - thinking}


def _figures_of_several(questions: Sequence[Sequence[Sample]]) -> dict[str, float]:
    """What only several samples a question can tell, each with ``_low`` and ``_high`` of its 95 % interval.

    ``pass_at_k``, ``g_pass_at_k_SHARE``, ``cons_at_k`` with its ``_ties``, ``best_of_k`` where a reward model has
    scored, and ``cons_at_k_gain``, by how much the vote of all is better than one sample. k = 2, 4, 8 ... and all that
    were drawn; G-Pass and the gain for all alone, of four or more. Questions of which fewer than k samples could be
    graded do not count for that k, nor those without one answer to vote for (programs) for ``cons_at_k``.
    """
    most = max(map(len, questions))
    found: dict[str, float] = {}
    for k in sorted({most, *(2**i for i in range(1, most.bit_length()))} - {0, 1}):
        enough = [rows for rows in questions if len(rows) >= k]
        counts = [(len(rows), sum(row["is_correct"] for row in rows)) for rows in enough]
        found |= _share_figures(f"pass_at_{k}", [pass_at_k(n, c, k) for n, c in counts])
        if k == most >= 4:
            for share in G_PASS_SHARES:
                values = [g_pass_at_k(n, c, k, share) for n, c in counts]
                found |= _share_figures(f"g_pass_at_{k}_{100 * share:.0f}", values)
        found |= _vote_figures([rows for rows in enough if rows[0]["verifier"] not in NOT_VOTED], k, is_all=k == most)
        if all("preference" in row for rows in enough for row in rows):
            found |= _share_figures(f"best_of_{k}", [best_of(rows, k) for rows in enough])
    return found


def _vote_figures(voting: Sequence[Sequence[Sample]], k: int, *, is_all: bool) -> dict[str, float]:
    if not voting:
        return {}
    votes = [vote_of(rows, k) for rows in voting]
    name = f"cons_at_{k}"
    found = _share_figures(name, [vote.mark for vote in votes])
    found[f"{name}_ties"] = fmean(vote.ties for vote in votes)
    if is_all and k >= 4:
        gain = estimate_difference([vote.mark for vote in votes], [_mean(rows, "is_correct") for rows in voting])
        found |= {f"{name}_gain": gain.mean, f"{name}_gain_low": gain.low, f"{name}_gain_high": gain.high}
    return found


def vote_of(rows: Sequence[Sample], k: int) -> MajorityVote:
    """The majority of k of one question's samples."""
    return majority_at_k([row["canonical"] for row in rows], [float(row["is_correct"]) for row in rows], k)


def best_of(rows: Sequence[Sample], k: int) -> float:
    """What the sample that a reward model prefers among k of one question's is worth."""
    preferences = [-math.inf if row["preference"] is None else row["preference"] for row in rows]
    return best_of_k(preferences, [float(row["is_correct"]) for row in rows], k)


def by_question(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by the question they answer."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for row in samples:
        found[row["prompt_id"]].append(row)
    return found


def _share_figures(name: str, values: Sequence[float]) -> dict[str, float]:
    found = estimate_share(values)
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def _mean(samples: Sequence[Sample], key: str) -> float:
    return fmean(float(row[key]) for row in samples)


def _by(samples: Sequence[Sample], group_key: str, value_key: str) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for row in samples:
        values[str(row[group_key])].append(float(row[value_key]))
    return {name: fmean(found) for name, found in sorted(values.items())}
