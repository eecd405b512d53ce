"""What an API must be able to do, so that one endpoint (``app.py``) serves them all."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from thinkwright.serving.ask import Ask, Part, ShownToken
from thinkwright.serving.reply import ModelDesk, Prepared
from thinkwright.types import FinishReason


@dataclass(frozen=True)
class Wanted:
    """A request as it was understood."""

    model: str
    """As the client calls it."""
    asks: tuple[Ask, ...]
    """One, or one for each of several prompts of a text completion. None: the model is only to be loaded, which it is
    already; Ollama's clients ask so first."""
    is_stream: bool
    include_usage: bool = False
    """A stream ends with the counts of tokens."""
    reply_id: str = ""
    """Of the reply, such as ``chatcmpl-...``."""
    created: int = 0
    """Seconds since 1970."""
    echo: dict[str, Any] = field(default_factory=dict)
    """What the API gives back of the request as it came."""


@dataclass
class Choice:
    """One whole reply."""

    thought: str = ""
    answer: str = ""
    tokens: list[ShownToken] = field(default_factory=list)
    end: FinishReason = "stop"
    num_tokens: int = 0
    num_thinking_tokens: int = 0
    first_at: float = 0
    """When its first part came, as ``time.monotonic``."""


@dataclass(frozen=True)
class Told:
    """What a reply is written from, beside its parts."""

    desk: ModelDesk
    wanted: Wanted
    prepared: Sequence[Prepared]
    started: float = field(default_factory=time.monotonic)
    """When its work began, as ``time.monotonic``."""

    @property
    def num_prompt_tokens(self) -> int:
        """Of all asks together."""
        return sum(len(one.rendered.token_ids) for one in self.prepared)

    @property
    def num_choices(self) -> int:
        """Completions of all asks together."""
        return sum(one.ask.sampling.num_choices for one in self.prepared)


class Dialect(Protocol):
    """One endpoint of an API."""

    @property
    def path(self) -> str:
        """Of the endpoint."""
        ...

    @property
    def body(self) -> type[BaseModel]:
        """What a request must be; unknown keys are let pass, values that cannot be are refused."""
        ...

    @property
    def stream_type(self) -> str:
        """Media type of a stream."""
        ...

    def read(self, body: Any) -> Wanted:
        """Understand a valid body. Raises BadRequest for what cannot be done."""
        ...

    def whole(self, told: Told, choices: Sequence[Choice]) -> dict[str, Any]:
        """The reply in one piece."""
        ...

    def stream(self, told: Told, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """The reply piece by piece, each as it is sent, framing included (``data: ...`` or a line of JSON)."""
        ...

    def error(self, status: int, message: str, code: str) -> dict[str, Any]:
        """How the API says that something went wrong."""
        ...

    def stream_error(self, status: int, message: str, code: str, num_sent: int) -> str:
        """The same in the midst of a stream, after so many pieces; its status was sent already."""
        ...


async def gather(parts: AsyncIterator[Part], num_choices: int) -> list[Choice]:
    """All choices, once all have ended."""
    choices = [Choice() for _ in range(num_choices)]
    async for part in parts:
        choice = choices[part.choice]
        choice.first_at = choice.first_at or time.monotonic()
        choice.thought += part.thought
        choice.answer += part.answer
        choice.tokens += part.tokens
        if part.end is not None:
            choice.end, choice.num_tokens, choice.num_thinking_tokens = (
                part.end,
                part.num_tokens,
                part.num_thinking_tokens,
            )
    return choices
