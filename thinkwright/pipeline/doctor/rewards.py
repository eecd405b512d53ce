"""Can each reward of the recipe be earned, and missed? Tried on replies that differ in what rewards look at."""

from collections.abc import Sequence
from statistics import fmean

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.rewards import RewardWeights
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.rows import THOUGHTS, Fitting
from thinkwright.rewards.combine import penalties
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.rewards.score import SampledGroup, Scorer
from thinkwright.types import FinishReason, Prompt, Rollout, RolloutGroup

PROBED_ROWS = 8
MARGIN = 0.25
"""A right reply may earn less than the best one by this share of the range: length rewards count tokens."""
_REPEATS = 20
_CHARACTERS_PER_TOKEN = 32

Probe = tuple[str, str, FinishReason]
"""What it is called, the completion, how it ended."""


def reward_checks(prompts: Sequence[Prompt], fitting: Fitting, score: Scorer, rewards: RewardWeights) -> list[Check]:
    """A check for each reward with a weight. ``prompts``: rows whose right answers score full marks."""
    chosen = prompts[:PROBED_ROWS]
    if not chosen:
        return [Check("rewards", "warning", "there is no sound row to try them on")]
    probes = [_probes(prompt, fitting) for prompt in chosen]
    groups = score([_sampled(prompt, row, fitting) for prompt, row in zip(chosen, probes, strict=True)])
    names = [probe[0] for probe in probes[0]]
    return [
        _check(name, groups, names, is_penalty=name in penalties(rewards))
        for name in rewards.weights()
        if name != "random"  # the coin, which is meant to say nothing
    ]


def _probes(prompt: Prompt, fitting: Fitting) -> list[Probe]:
    template = TEMPLATES[prompt.template]
    thought = THOUGHTS.get(prompt.language, THOUGHTS["en"])
    foreign = THOUGHTS["en" if prompt.language == "zh" else "zh"]
    wrong = VERIFIERS[prompt.verifier].wrong_answer(prompt.gold)
    again = _again_and_again(thought, fitting)
    return [
        ("right", template.write(thought, prompt.reference), "stop"),
        ("wrong", template.write(thought, wrong), "stop"),
        ("without a thought or marks", f" {prompt.reference}", "stop"),
        ("nothing", "", "stop"),
        ("thought in another language", template.write(foreign, prompt.reference), "stop"),
        ("the same again and again", template.write(again, prompt.reference), "stop"),
        ("cut at the limit", template.write(again, prompt.reference), "length"),
    ]


def _again_and_again(thought: str, fitting: Fitting) -> str:
    """The thought often enough to be noticed, and so often that a reply would be cut."""
    text = f"{thought} " * _REPEATS
    longest = _CHARACTERS_PER_TOKEN * fitting.max_tokens  # a tokenizer may pass over all that it does not know
    while len(text) < longest and len(fitting.tokenizer.encode(text, add_special_tokens=False)) <= fitting.max_tokens:
        text += text
    return text


def _sampled(prompt: Prompt, probes: Sequence[Probe], fitting: Fitting) -> SampledGroup:
    return prompt, (), [_rollout(text, reason, fitting) for _, text, reason in probes]


def _rollout(text: str, reason: FinishReason, fitting: Fitting) -> Rollout:
    """As the engine would hand it over; whether right replies are within the limit is another check's question."""
    ids = fitting.tokenizer.encode(text, add_special_tokens=False)
    ids = ids[: fitting.max_tokens] if reason == "length" else ids
    decoded = fitting.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    ids = ids if reason == "length" else [*ids, fitting.tokenizer.eos_token_id]
    zeros = (0.0,) * len(ids)
    return Rollout(tuple(ids), zeros, zeros, (False,) * len(ids), decoded, reason, 0)


def _check(name: str, groups: Sequence[RolloutGroup], probes: Sequence[str], *, is_penalty: bool) -> Check:
    title = f"{name} reward"
    scores = [[member.scores.get(name) for member in group.members] for group in groups]
    known = [score for row in scores for score in row if score is not None]
    if len(known) < sum(map(len, scores)):
        details = [member.detail for group in groups for member in group.members if member.detail]
        found = f"gave no score to some of the replies that were tried: {details[0] if details else 'no reason given'}"
        return Check(title, "failed", found, "mend the function or verifier, or leave this reward out")
    if min(known) == max(known):
        found = f"gave {max(known):g} to every reply that was tried: {', '.join(probes)}"
        if is_penalty and max(known) == 0:
            return Check(title, "ok", f"{found} (a penalty that was not due)")
        remedy = "it teaches nothing: mend it, take another template, or leave this reward out"
        return Check(title, "failed" if name in ("accuracy", "format") else "warning", found, remedy)
    shown = [f"{probe} {_mean(column):.2g}" for probe, column in zip(probes, zip(*scores, strict=True), strict=True)]
    if not is_penalty and _mean([row[0] for row in scores]) < max(known) - MARGIN * (max(known) - min(known)):
        remedy = "a right and well-formed reply earns less than others: see that this is meant"
        return Check(title, "warning", ", ".join(shown), remedy)
    return Check(title, "ok", ", ".join(shown))


def _mean(scores: Sequence[float | None]) -> float:
    return fmean(score for score in scores if score is not None)
