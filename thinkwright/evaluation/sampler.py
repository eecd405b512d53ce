"""Where an evaluation's completions come from: a model in this process, or one that another program serves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from thinkwright.chat.template import BOXED_INSTRUCTION
from thinkwright.errors import ModelError, RecipeError
from thinkwright.evaluation.sample_store import Completion
from thinkwright.evaluation.served import TEMPLATE, sample_served
from thinkwright.evaluation.strategies import Strategy, sample
from thinkwright.models.chat_prompt import chat_prompts, opens_thought
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.tasks.suites import put_in
from thinkwright.types import Prompt

CHAT = "chat"
"""The template that is the model's own."""


@dataclass(frozen=True)
class Drawing:
    """How completions are drawn."""

    samples: int
    max_tokens: int
    temperature: float
    """0: the likeliest token always."""
    top_p: float
    seed: int

    def sampling(self) -> SamplingSettings:
        """As an engine takes it."""
        is_greedy = self.temperature == 0
        return SamplingSettings(
            self.samples,
            self.max_tokens,
            temperature=1.0 if is_greedy else self.temperature,
            seed=self.seed,
            step=-1,
            top_p=1.0 if is_greedy else self.top_p,
            top_k=1 if is_greedy else 0,
        )


class Sampler(Protocol):
    """A model that answers."""

    def prompts(self, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        """The questions as this model is asked them."""
        ...

    def limit(self, prompts: Sequence[Prompt], max_tokens: int) -> int:
        """Tokens that every completion may take: ``max_tokens``, or what the context leaves the longest prompt."""
        ...

    def sample(
        self, prompts: Sequence[Prompt], drawing: Drawing, strategy: Strategy
    ) -> Iterator[tuple[Prompt, list[Completion]]]:
        """All completions of each prompt, as prompts are done."""
        ...

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Tokens of a text; None if that cannot be told."""
        ...


class LocalSampler:
    """A model of this machine or the Hub, on the native engine."""

    def __init__(self, policy: Policy, template: str, slots: int) -> None:
        self._policy, self._template = policy, template
        self._engine = NativeEngine(policy, slots)

    def prompts(self, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        """See ``Sampler``. In the model's own template mathematics is asked for with R1's line about the box."""
        if self._template != CHAT:
            return prompts
        texts = chat_prompts(self._policy.tokenizer, [asked(prompt) for prompt in prompts])
        return put_in(prompts, texts, "think_summary_prefilled" if opens_thought(texts[0]) else "think_summary")

    def limit(self, prompts: Sequence[Prompt], max_tokens: int) -> int:
        """See ``Sampler``. Raises ModelError for a prompt that fills the context."""
        longest = max(len(self._policy.encode(p.text)) for p in prompts)
        room = self._policy.max_positions - longest
        if room < 1:
            raise ModelError(
                f"a prompt of {longest} tokens fills the model's context of {self._policy.max_positions}; give another "
                "suite, or a model with a longer context"
            )
        return min(max_tokens, room)

    def sample(
        self, prompts: Sequence[Prompt], drawing: Drawing, strategy: Strategy
    ) -> Iterator[tuple[Prompt, list[Completion]]]:
        """See ``Sampler``."""
        return sample(self._engine, self._policy, prompts, drawing.sampling(), strategy)

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """See ``Sampler``."""
        return lambda text: len(self._policy.encode(text))


class ServedSampler:
    """A model behind a chat API."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def prompts(self, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        """See ``Sampler``: the bare question, which the server puts in its template."""
        return put_in(prompts, [asked(prompt) for prompt in prompts], TEMPLATE)

    def limit(self, prompts: Sequence[Prompt], max_tokens: int) -> int:
        """See ``Sampler``; the server's context is not known."""
        return max_tokens

    def sample(
        self, prompts: Sequence[Prompt], drawing: Drawing, strategy: Strategy
    ) -> Iterator[tuple[Prompt, list[Completion]]]:
        """See ``Sampler``. Raises RecipeError for a strategy that needs the model's own tokens."""
        if strategy.kind != "free":
            raise RecipeError(
                "--budgets, --waits and --test-time need the model's own tokens, which a chat API does not give; "
                "evaluate its folder instead"
            )
        return sample_served(self._model, prompts, drawing.sampling(), drawing.temperature)

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """See ``Sampler``: the server's own counts are all there is."""
        return None


def asked(prompt: Prompt) -> str:
    """The question as a chat model is asked it: mathematics with R1's line about the box."""
    return f"{prompt.question} {BOXED_INSTRUCTION}" if prompt.verifier == "math" else prompt.question
