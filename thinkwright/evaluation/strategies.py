"""How much a model may think: as long as it likes, up to a budget, or longer than it would by itself.

Budget forcing (s1, arXiv:2501.19393, section 3): a thought that reaches its budget is closed and the answer begun; a
thought that ends too early for us is not let end, "Wait" is put in the place of its end, and the model thinks on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import RecipeError
from thinkwright.evaluation.sample_store import Completion, completion_of
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings, ThinkingBudget
from thinkwright.types import FinishReason, Prompt

WAIT = {"en": " Wait", "zh": "等等"}
"""What a thought goes on with, by the question's language; English for all others."""
TOKENS_PER_CALL = 1 << 26
"""Places for tokens that one call of the engine may reserve: 20 bytes each."""
PROMPTS_PER_WAIT = 32
"""Prompts whose thoughts are taken up again together: what was sampled is handed out only once all of them are done."""


@dataclass(frozen=True)
class Strategy:
    """One way of thinking."""

    kind: Literal["free", "budget", "wait"] = "free"
    amount: int = 0
    """``budget``: tokens of the completion within which the thought must end. ``wait``: times that its end is taken
    back."""

    @property
    def name(self) -> str:
        """As files and tables call it."""
        return self.kind if self.kind == "free" else f"{self.kind}-{self.amount}"


@dataclass
class _Thread:
    """One completion of a prompt as it is sampled in several parts."""

    prompt_index: int
    member: int
    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    is_open: bool
    """Its last part ended with the end of the thought."""


def sample(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    strategy: Strategy,
    waits: Mapping[str, str] = WAIT,
) -> Iterator[tuple[Prompt, list[Completion]]]:
    """All completions of each prompt, as prompts are done. Raises ModelError if one cannot fit, RecipeError as below.

    The draws depend on (seed, step, prompt, member) and the strategy alone, not on what is sampled together.
    """
    size = max(1, TOKENS_PER_CALL // (settings.group_size * settings.max_tokens))
    size = min(size, PROMPTS_PER_WAIT) if strategy.kind == "wait" else size
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        encoded = [policy.encode(prompt.text) for prompt in batch]
        if strategy.kind == "wait":
            yield from _with_waits(engine, policy, batch, encoded, settings, strategy.amount, waits)
            continue
        drawn = replace(settings, thinking_budget=_budget(policy, batch[0].template, strategy, settings))
        requests = [RolloutRequest(p.prompt_id, ids) for p, ids in zip(batch, encoded, strict=True)]
        for index, rollouts in engine.stream(requests, drawn):
            yield batch[index], [completion_of(rollout) for rollout in rollouts]


def _budget(policy: Policy, template: str, strategy: Strategy, settings: SamplingSettings) -> ThinkingBudget | None:
    """Raises RecipeError for a budget that leaves no room for an answer."""
    if strategy.kind == "free":
        return None
    budget = thinking_budget(policy, template, strategy.amount)
    if strategy.amount + len(budget.forced) >= settings.max_tokens:
        raise RecipeError(
            f"--budgets {strategy.amount}: leaves no room for an answer within --max-tokens {settings.max_tokens}; "
            "lower it, or raise --max-tokens"
        )
    return budget


def thinking_budget(policy: Policy, template: str, max_tokens: int) -> ThinkingBudget:
    """Closes a thought that has not ended within so many tokens of a completion, and begins the answer."""
    found = TEMPLATES[template]
    start = found.thought_start if found.write_bare else ""
    return ThinkingBudget(max_tokens, found.thought_end, policy.encode(found.answer_start), start)


def _with_waits(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    encoded: Sequence[tuple[int, ...]],
    settings: SamplingSettings,
    num_waits: int,
    waits: Mapping[str, str],
) -> Iterator[tuple[Prompt, list[Completion]]]:
    """Every thought's end is taken back ``num_waits`` times; a thought that is cut, or does not end, stays as it is.

    A part that is gone on from is read as part of the prompt, so nothing is drawn twice.
    """
    end = TEMPLATES[prompts[0].template].thought_end
    groups = engine.generate(
        [RolloutRequest(p.prompt_id, ids) for p, ids in zip(prompts, encoded, strict=True)],
        replace(settings, stop=(end,)),
    )
    threads = [
        _Thread(i, member, r.token_ids, r.text, r.finish_reason, end in r.text)
        for i, rollouts in enumerate(groups)
        for member, r in enumerate(rollouts)
    ]
    for number in range(1, num_waits + 1):
        stop = (end,) if number < num_waits else ()
        _go_on(engine, policy, prompts, encoded, threads, replace(settings, stop=stop), number, waits)
    for i, prompt in enumerate(prompts):
        yield prompt, [_completion(thread) for thread in threads if thread.prompt_index == i]


def _go_on(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    encoded: Sequence[tuple[int, ...]],
    threads: Sequence[_Thread],
    settings: SamplingSettings,
    number: int,
    waits: Mapping[str, str],
) -> None:
    """Take back the end of every open thread's thought and sample on."""
    end, limit = TEMPLATES[prompts[0].template].thought_end, settings.max_tokens
    chosen: list[tuple[_Thread, RolloutRequest]] = []
    for thread in threads:
        if not thread.is_open:
            continue
        prompt = prompts[thread.prompt_index]
        ids = _without_end(policy, thread.token_ids, end)
        ids += policy.encode(waits.get(prompt.language, waits["en"]))
        if len(ids) >= limit:  # no room to go on, nor was there for an answer
            thread.finish_reason, thread.is_open = "length", False
            continue
        thread.token_ids, thread.text = ids, _decode(policy, ids)
        chosen.append(
            (
                thread,
                RolloutRequest(
                    f"{prompt.prompt_id}/{thread.member}/wait_{number}",
                    encoded[thread.prompt_index] + ids,
                    max_tokens=(limit - len(ids),),
                ),
            )
        )
    if not chosen:
        return
    rollouts = engine.generate([request for _, request in chosen], replace(settings, group_size=1))
    for (thread, _), (rollout,) in zip(chosen, rollouts, strict=True):
        thread.token_ids += rollout.token_ids
        thread.text += rollout.text
        thread.finish_reason = rollout.finish_reason
        thread.is_open = bool(settings.stop) and end in rollout.text


def _completion(thread: _Thread) -> Completion:
    return Completion(thread.text, thread.finish_reason, len(thread.token_ids), thread.token_ids)


def _without_end(policy: Policy, ids: tuple[int, ...], end: str) -> tuple[int, ...]:
    """The tokens before the first that holds a part of ``end``, blanks before it left out, too."""
    kept = _decode(policy, ids).partition(end)[0].rstrip()
    count = len(ids)
    while count and len(_decode(policy, ids[:count])) > len(kept):
        count -= 1
    return ids[:count]


def _decode(policy: Policy, ids: tuple[int, ...]) -> str:
    return policy.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
