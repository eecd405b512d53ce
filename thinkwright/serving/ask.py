"""What a client asks for and what it gets, whatever API it speaks.

One request's way: an API (``apis/``) reads JSON into an ``Ask``; ``reply.py`` renders it
(``prompter.py``), lets a backend generate (``engines/``), tells thought and answer apart (``chat/thought_splitter.py``)
and yields ``Part``s; the API writes them as its JSON.
"""

from dataclasses import dataclass, field

from thinkwright.rollout.live_batch import Alternatives
from thinkwright.types import FinishReason


class BadRequest(Exception):
    """What a client asked for cannot be; its message says why and what to write instead."""

    def __init__(self, message: str, *, code: str = "invalid_request", status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Overloaded(Exception):
    """The queue is full."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"all slots are taken and the queue is full; try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class BackendError(Exception):
    """What generates has failed; the same request may succeed later."""


class DeadlinePassed(BackendError):
    """A reply took longer than the server lets any; the same request would again."""


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    content: str
    thought: str = ""
    """Of an assistant's message; dropped unless it stands after the last question."""


@dataclass(frozen=True)
class Thinking:
    """How much a client wants the model to think."""

    is_on: bool = True
    max_tokens: int | None = None
    """Tokens after which the thought is ended for the model; None: no limit of its own."""
    effort: float | None = None
    """The same as a share of the reply's limit, for clients that name an effort."""
    is_shown: bool = True
    """Whether the thought is part of the reply."""
    is_apart: bool = True
    """False: the thought stands in the content, between its tags."""
    is_streamed: bool = True
    """False: a stream brings the thought in one piece, once it is whole."""


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn; None: as the model's own defaults are."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    """Of thought and answer together; None or more than fits: what the context leaves."""
    seed: int | None = None
    """None: another one for each request."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; a thought may hold them."""
    num_choices: int = 1
    num_top_logprobs: int | None = None
    """So many likeliest tokens beside each; None: no log-probabilities at all."""
    ignore_end: bool = False
    """Go on to ``max_tokens`` whatever the model says (for measurements)."""


@dataclass(frozen=True)
class Ask:
    """A conversation to be replied to, or a text to be gone on with."""

    sampling: Sampling
    messages: tuple[Message, ...] = ()
    prompt: str | tuple[int, ...] | None = None
    """A text as it is, or its tokens: no template, and nothing is told apart; ``messages`` is empty then."""
    thinking: Thinking = field(default_factory=Thinking)

    @property
    def num_characters(self) -> int:
        """Of all that is to be encoded, but for the template's own."""
        prompt = len(self.prompt) if isinstance(self.prompt, str) else 0
        return prompt + sum(len(message.content) + len(message.thought) for message in self.messages)


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token with its log-probability, as clients are shown it."""

    token_id: int
    logprob: float
    alternatives: Alternatives
    is_thought: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What is new of one choice."""

    choice: int
    thought: str = ""
    answer: str = ""
    tokens: tuple[ShownToken, ...] = ()
    """Only if log-probabilities were asked for."""
    end: FinishReason | None = None
    """With a choice's last part."""
    num_tokens: int = 0
    """With the last part: of thought and answer, the end token included."""
    num_thinking_tokens: int = 0
    """With the last part: of these, those of the thought and its tags."""


@dataclass(frozen=True)
class Rendered:
    """An ask as the model reads it."""

    text: str
    token_ids: tuple[int, ...]
    opens_thought: bool
    """The prompt has begun the thought already: the reply has only its end."""
    has_thought: bool
    """Whether there are thoughts to be told apart at all."""
    thought_end: str
    """What ends a thought by force, up to the first word of the answer."""
    answer_tags: tuple[str, ...] = ()
    """Tags around the answer, which a reader is not shown."""
