"""Figures of an evaluation from its samples."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from thinkwright.chat.template import TEMPLATES
from thinkwright.evaluation.canonical import NOT_VOTED, canonical_answer
from thinkwright.evaluation.estimators import estimate_share, g_pass_at_k, majority_at_k, pass_at_k
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
    by_question: dict[str, list[Sample]] = defaultdict(list)
    for row in samples:
        by_question[row["prompt_id"]].append(row)
    questions = list(by_question.values())
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
        "reflection_rate": fmean(row["reflection_words"] > 0 for row in samples),
        "reflection_words": _mean(samples, "reflection_words"),
        "truncated_rate": fmean(row["finish_reason"] == "length" for row in samples),
        "language_consistency": _mean(samples, "language_consistency"),
        "num_samples": len(samples),
        **_figures_of_several(questions),
    }


def _figures_of_several(questions: Sequence[Sequence[Sample]]) -> dict[str, float]:
    """What only several samples a question can tell: ``pass_at_k``, ``g_pass_at_k_SHARE``, ``cons_at_k``.

    k = 2, 4, 8 ... and all that were drawn; G-Pass for all alone, of four or more. Questions of which fewer than k
    samples could be graded do not count for that k, nor those without one answer to vote for (programs) for
    ``cons_at_k``.
    """
    most = max(map(len, questions))
    found: dict[str, float] = {}
    for k in sorted({most, *(2**i for i in range(1, most.bit_length()))} - {0, 1}):
        counts = [(len(rows), sum(row["is_correct"] for row in rows)) for rows in questions if len(rows) >= k]
        found[f"pass_at_{k}"] = fmean(pass_at_k(n, c, k) for n, c in counts)
        if k == most >= 4:
            for share in G_PASS_SHARES:
                found[f"g_pass_at_{k}_{100 * share:.0f}"] = fmean(g_pass_at_k(n, c, k, share) for n, c in counts)
        votes = [
            majority_at_k([row["canonical"] for row in rows], [float(row["is_correct"]) for row in rows], k)
            for rows in questions
            if len(rows) >= k and rows[0]["verifier"] not in NOT_VOTED
        ]
        if votes:
            found[f"cons_at_{k}"] = fmean(vote.mark for vote in votes)
            found[f"cons_at_{k}_ties"] = fmean(vote.ties for vote in votes)
    return found


def _mean(samples: Sequence[Sample], key: str) -> float:
    return fmean(float(row[key]) for row in samples)


def _by(samples: Sequence[Sample], group_key: str, value_key: str) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for row in samples:
        values[str(row[group_key])].append(float(row[value_key]))
    return {name: fmean(found) for name, found in sorted(values.items())}
