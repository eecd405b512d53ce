"""What a judge says of completions to questions without a rule, and which of them are kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.judge import Judge
from thinkwright.models.endpoint import ServedModel
from thinkwright.pipeline.sift import Kept
from thinkwright.rewards.judge import Finding, Item, judge_correctness
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

REASONS: dict[Finding, str] = {
    "incorrect": "judged incorrect",
    "disagreement": "the judge's two verdicts differ",
    "no verdict": "no verdict that can be read",
    "says nothing": "an answer that says nothing",
}
"""Why a completion is not kept, as counts call it."""


def unjudged(prompt: Prompt, prompt_ids: tuple[int, ...], rollouts: Sequence[Rollout]) -> RolloutGroup:
    """A group whose form alone was looked at."""
    split = TEMPLATES[prompt.template].split
    members = [ScoredRollout(r, {"format": float(split(r.text).is_well_formed)}, 0.0) for r in rollouts]
    return RolloutGroup(prompt, prompt_ids, tuple(members))


def keep_correct(
    rows: Sequence[Kept], model: ServedModel, judge: Judge, seed: int
) -> tuple[list[Kept], Counter[str], dict[str, float]]:
    """Those judged correct both times, how many others were dropped for what reason, and figures of the judge.

    The judge sees the answer alone. Raises as ``judge_correctness`` does.
    """
    items = [Item(row.prompt.question, row.prompt.reference, row.answer) for row in rows]
    judgements = judge_correctness(model, judge, items, seed)
    found = Counter(judgement.finding for judgement in judgements)
    kept = [
        replace(row, verdicts=judgement.verdicts)
        for row, judgement in zip(rows, judgements, strict=True)
        if judgement.finding == "correct"
    ]
    num_judged = found["correct"] + found["incorrect"] + found["disagreement"]
    figures = {
        "judge/asked": num_judged + found["no verdict"],
        "judge/correct_share": found["correct"] / max(1, num_judged),
        "judge/disagreement_share": found["disagreement"] / max(1, num_judged),
        "judge/no_verdict": found["no verdict"],
    }
    return kept, Counter({REASONS[finding]: count for finding, count in found.items() if finding in REASONS}), figures
