"""What generates tokens for the server: the native engine in a process of its own, or a vLLM server."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from thinkwright.config.serving import ServingEngine
from thinkwright.errors import ModelError
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.types import FinishReason

MAX_SLOTS, MAX_TOKENS = 64, 32_768
"""Where the settings say nothing: requests that run at the same time, and tokens of a completion."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of a completion."""

    tokens: tuple[LiveToken, ...]
    end: FinishReason | None


@dataclass(frozen=True)
class Load:
    """How busy a backend is."""

    num_running: int
    num_waiting: int
    is_up: bool
    """False: it cannot answer now."""
    version: str
    """Of the weights: what was loaded last."""


def planned_lengths(settings: ServingEngine, context: int) -> tuple[int, int]:
    """Tokens of a prompt and of a completion, at most. Raises ModelError for more than the context holds."""
    max_tokens = settings.max_tokens or max(1, min(MAX_TOKENS, context // 2))
    max_prompt = settings.max_prompt_tokens or max(1, context - max_tokens)
    for option, tokens in (("--max-prompt-tokens", max_prompt), ("--max-tokens", max_tokens)):
        if tokens >= context:
            raise ModelError(
                f"{option} {tokens} leaves no room in the model's context of {context}; lower it to {context - 1} or "
                "less"
            )
    return max_prompt, max_tokens


class Backend(Protocol):
    """One model that generates. Everything but ``generate`` is called from one event loop."""

    @property
    def context(self) -> int:
        """Tokens of prompt and completion together, at most."""
        ...

    @property
    def max_prompt_tokens(self) -> int:
        """Tokens of a prompt, at most."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of a completion, at most."""
        ...

    async def start(self) -> None:
        """Ready to generate when this returns. Raises ThinkwrightError if it cannot be."""
        ...

    def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        """The completion of a prompt, piece by piece; closing the generator frees its slot at once.

        ``name`` is part of the seed. Raises Overloaded if the queue is full, BackendError if generating failed.
        """
        ...

    def load(self) -> Load:
        """How busy it is."""
        ...

    async def reload(self) -> str:
        """Take the newest weights of its source without dropping a request; returns their version.

        Raises BackendError, and goes on with the old ones, if they cannot be loaded.
        """
        ...

    async def close(self) -> None:
        """End what runs and free everything."""
        ...
