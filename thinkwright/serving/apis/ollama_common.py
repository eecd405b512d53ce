"""What Ollama's endpoints share: their bodies, durations, lines and errors.

Streams are lines of JSON, and what a client gets unless it says ``stream: false``. Durations are measured here: the
prompt's until the first part came, the reply's from then on.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from thinkwright.serving.apis.bodies import (
    NO_FORM,
    NO_PENALTY,
    WHOLE,
    Body,
    Flag,
    MinP,
    NoPenalty,
    NoTools,
    Only,
    Seed,
    Stop,
    Temperature,
    TopK,
    TopLogprobs,
    TopP,
    no_limit_is_zero,
    refuse,
    stops_of,
)
from thinkwright.serving.apis.dialect import Choice, Told, Wanted
from thinkwright.serving.apis.framing import NDJSON, line, whole_characters
from thinkwright.serving.apis.openai_common import now, split_tokens, token_rows
from thinkwright.serving.apis.switches import Switches, thinking_of
from thinkwright.serving.apis.token_names import token_names
from thinkwright.serving.ask import Ask, Message, Part, Sampling, ShownToken

LATEST = ":latest"
_NO_MIROSTAT = "tokens are drawn by temperature, top_p, top_k and min_p alone; leave it out"


class Options(BaseModel):
    """``options`` of a request; those that only tell how a model is loaded change nothing here."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    num_predict: (
        Annotated[int, Field(strict=True, ge=-2, description="0 or less: what the context leaves."), WHOLE] | None
    ) = None
    seed: Seed | None = None
    stop: Stop | None = None
    presence_penalty: NoPenalty = None
    frequency_penalty: NoPenalty = None
    repeat_penalty: Annotated[Any, Only((None, 0, 1), NO_PENALTY)] = None
    mirostat: Annotated[Any, Only((None, 0), _NO_MIROSTAT)] = None
    tfs_z: Annotated[Any, Only((None, 0, 1), _NO_MIROSTAT)] = None
    typical_p: Annotated[Any, Only((None, 0, 1), _NO_MIROSTAT)] = None


class OllamaBody(Body, Switches):
    """Of any request to Ollama's API."""

    stream: Flag | None = None
    options: Options | None = None
    logprobs: Flag | None = None
    top_logprobs: TopLogprobs | None = None
    format: Annotated[Any, Only((None, ""), NO_FORM)] = None
    images: Annotated[Any, Only((None, []), "models of this server read text alone; leave it out")] = None
    tools: NoTools = None

    @model_validator(mode="after")
    def _logprobs_are_wanted(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            refuse("top_logprobs has no effect without logprobs: true; send both")
        return self


def ollama_wanted(body: OllamaBody, *, messages: tuple[Message, ...] = (), prompt: str | None = None) -> Wanted:
    """A request as it was understood."""
    model = body.model.removesuffix(LATEST)
    asks = (Ask(_sampling(body), messages, prompt, thinking_of(body)),) if messages or prompt else ()
    return Wanted(model, asks, bool(asks) and body.stream is not False, created=now(), echo={"model": body.model})


def _sampling(body: OllamaBody) -> Sampling:
    options = body.options or Options()
    return Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=no_limit_is_zero(options.top_k),
        min_p=options.min_p,
        max_tokens=options.num_predict if (options.num_predict or 0) > 0 else None,
        seed=None if options.seed == -1 else options.seed,
        stop=stops_of(options.stop),
        num_top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )


Write = Callable[[str, str], dict[str, Any]]
"""How an endpoint writes what is new of the thought and the answer."""


@dataclass(frozen=True)
class OllamaDialect:
    """``Dialect``: the endpoints differ in what they read and in how they write what is new."""

    path: str
    body: type[BaseModel]
    understand: Callable[[Any], Wanted]
    write: Write
    stream_type: str = NDJSON

    def read(self, body: Any) -> Wanted:
        """See ``Dialect``."""
        return self.understand(body)

    def whole(self, told: Told, choices: Sequence[Choice]) -> dict[str, Any]:
        """See ``Dialect``; without a choice, that the model is there."""
        if not choices:
            return _head(told) | self.write("", "") | {"done": True, "done_reason": "load"}
        (choice,) = choices
        texts = self.write(choice.thought, choice.answer) | _logprobs(told, choice.tokens)
        return _head(told) | texts | _ending(told, choice, choice.first_at, choice.end)

    async def stream(self, told: Told, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """See ``Dialect``; the last line has the counts and no text."""
        first_at: float | None = None
        async for part in parts:
            first_at = first_at or time.monotonic()
            if part.thought and part.answer:
                thought, answer = split_tokens(part.tokens)
                yield line(_head(told) | self.write(part.thought, "") | _logprobs(told, thought) | {"done": False})
                yield line(_head(told) | self.write("", part.answer) | _logprobs(told, answer) | {"done": False})
            elif part.thought or part.answer or part.tokens:
                texts = self.write(part.thought, part.answer)
                yield line(_head(told) | texts | _logprobs(told, part.tokens) | {"done": False})
            if part.end is not None:
                yield line(_head(told) | self.write("", "") | _ending(told, part, first_at, part.end))

    def error(self, status: int, message: str, code: str) -> dict[str, Any]:
        """See ``Dialect``."""
        return {"error": whole_characters(message)}

    def stream_error(self, status: int, message: str, code: str, num_sent: int) -> str:
        """See ``Dialect``."""
        return line(self.error(status, message, code))


def _head(told: Told) -> dict[str, Any]:
    return {"model": told.wanted.echo["model"], "created_at": date_time(time.time())}


def date_time(seconds: float) -> str:
    """As Ollama writes a time, given in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _logprobs(told: Told, tokens: Sequence[ShownToken]) -> dict[str, Any]:
    if told.wanted.asks[0].sampling.num_top_logprobs is None:
        return {}
    return {"logprobs": token_rows(token_names(told.desk.prompter.tokenizer), tokens)}


def _ending(told: Told, ended: Part | Choice, first_at: float, reason: str) -> dict[str, Any]:
    """``first_at``: when the first part came, by the same clock as ``told.started``."""
    ended_at = time.monotonic()
    return {
        "done": True,
        "done_reason": reason,
        "total_duration": _nanoseconds(ended_at - told.started),
        "load_duration": 0,
        "prompt_eval_count": told.num_prompt_tokens,
        "prompt_eval_duration": _nanoseconds(first_at - told.started),
        "eval_count": ended.num_tokens,
        "eval_duration": _nanoseconds(ended_at - first_at),
    }


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
