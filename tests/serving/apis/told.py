"""Requests as the server's endpoint reads them, and what a dialect is told; nothing generates."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import lru_cache
from typing import Any

from transformers import AutoTokenizer

from thinkwright.models.shipped import resolve_model_name
from thinkwright.rollout.live_batch import LiveSettings
from thinkwright.serving.apis.dialect import Dialect, Told, gather
from thinkwright.serving.ask import Part, ShownToken
from thinkwright.serving.engines.backend import Load, Piece
from thinkwright.serving.prompter import Prompter
from thinkwright.serving.reply import Defaults, ModelDesk, prepare

MESSAGES = [{"role": "user", "content": "What is 12 + 7 - 3?"}]
PARTS = (
    Part(0, thought="12 + 7 = 19, "),
    Part(0, thought="19 - 3 = 16.", answer="一"),
    Part(0, answer="共 16"),
    Part(0, answer=".", end="stop", num_tokens=21, num_thinking_tokens=14),
)


class SilentBackend:
    """A ``Backend`` that is only asked for its limits."""

    context, max_prompt_tokens, max_tokens = 2048, 1024, 1024

    async def start(self) -> None:
        pass

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        raise AssertionError("dialects do not generate")
        yield

    def load(self) -> Load:
        return Load(0, 0, is_up=True, version="step_7")

    async def reload(self) -> str:
        return "step_7"

    async def close(self) -> None:
        pass


@lru_cache(maxsize=1)
def tiny_desk() -> ModelDesk:
    """The shipped model's tokenizer, asked by R1-Zero's template."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model_name("tiny-base"))
    prompter = Prompter(tokenizer, "r1_zero")
    details = {"family": "qwen2", "location": "tiny-base", "parameters": "1000000", "dtype": "float32"}
    return ModelDesk("tiny-base", prompter, SilentBackend(), Defaults(), 1_700_000_000, details)


def told_of(dialect: Dialect, **body: Any) -> Told:
    """What the endpoint makes of a request of JSON."""
    body = {"model": "tiny-base"} | body
    wanted = dialect.read(dialect.body.model_validate(json.loads(json.dumps(body))))
    desk = tiny_desk()
    return Told(desk, wanted, [prepare(desk, ask) for ask in wanted.asks])


def whole(dialect: Dialect, parts: Sequence[Part] = PARTS, **body: Any) -> dict[str, Any]:
    """A reply in one piece."""
    told = told_of(dialect, **body)
    num_choices = sum(ask.sampling.num_choices for ask in told.wanted.asks)
    reply = dialect.whole(told, asyncio.run(gather(_each(parts), num_choices)))
    json.dumps(reply, allow_nan=False).encode()
    return reply


def streamed(dialect: Dialect, parts: Sequence[Part] = PARTS, **body: Any) -> str:
    """A stream's whole text."""
    told = told_of(dialect, stream=True, **body)

    async def read() -> str:
        return "".join([text async for text in dialect.stream(told, _each(parts))])

    return asyncio.run(read())


def events(stream: str) -> list[dict[str, Any]]:
    """The values of server-sent events, ``[DONE]`` left out."""
    assert stream.endswith("\n\n")
    data = [block.split("data: ", 1)[1] for block in stream.removesuffix("\n\n").split("\n\n")]
    return [json.loads(text) for text in data if text != "[DONE]"]


def shown_tokens(text: str, *, is_thought: bool = False) -> tuple[ShownToken, ...]:
    """A text's tokens, each with two alternatives."""
    ids = tiny_desk().prompter.encode(text)
    return tuple(ShownToken(one, -0.5, ((one, -0.5), (one + 1, float("-inf"))), is_thought) for one in ids)


async def _each(parts: Sequence[Part]) -> AsyncIterator[Part]:
    for part in parts:
        yield part
