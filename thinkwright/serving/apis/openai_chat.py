"""OpenAI's chat completions, with the thought beside the content.

The thought is written under both names that clients look for, ``reasoning_content`` (DeepSeek, SGLang, llama.cpp) and
``reasoning`` (vLLM, Ollama, OpenRouter). The content is never null.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from thinkwright.serving.apis.bodies import (
    MAX_MESSAGES,
    ROLE,
    Choices,
    Content,
    Count,
    Flag,
    NoForm,
    NoTools,
    Only,
    SamplingBody,
    StreamOptions,
    Text,
    TopLogprobs,
    refuse,
    sampling_of,
    text_of,
)
from thinkwright.serving.apis.dialect import Choice, Told, Wanted
from thinkwright.serving.apis.framing import DONE, SSE, event, to_json
from thinkwright.serving.apis.openai_common import (
    Usage,
    chunk_borders,
    new_id,
    now,
    openai_error,
    openai_stream_error,
    split_tokens,
    token_rows,
)
from thinkwright.serving.apis.switches import Switches, thinking_of
from thinkwright.serving.apis.token_names import token_names
from thinkwright.serving.ask import Ask, BadRequest, Message, Part, ShownToken


class AskingMessage(BaseModel):
    """A message to the model."""

    role: Annotated[Literal["system", "developer", "user"], ROLE]
    content: Content


class AssistantMessage(BaseModel):
    """An earlier message of the model, with its thought under any name."""

    role: Literal["assistant"]
    content: Content | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None
    thinking: Text | None = None
    tool_calls: NoTools = None


def _writer(value: Any) -> str:
    return "assistant" if isinstance(value, dict) and value.get("role") == "assistant" else "other"


ChatMessage = Annotated[
    Annotated[AskingMessage, Tag("other")] | Annotated[AssistantMessage, Tag("assistant")], Discriminator(_writer)
]


class ChatBody(SamplingBody, Switches):
    """A request."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Choices | None = None
    logprobs: Flag | None = None
    top_logprobs: TopLogprobs | None = None
    stream_options: StreamOptions | None = None
    tools: NoTools = None
    functions: NoTools = None
    tool_choice: Annotated[Any, Only((None, "none", "auto"), "there are no tools here to choose; leave it out")] = None
    response_format: NoForm = None
    modalities: Annotated[Any, Only((None, ["text"]), "replies are text alone; leave it out")] = None
    audio: Annotated[Any, Only((None,), "replies are text alone; leave it out")] = None
    web_search_options: Annotated[Any, Only((None,), "nothing is looked up here; leave it out")] = None
    continue_final_message: Annotated[
        Any, Only((None, False), "a reply is always a new message; use /v1/completions to go on with a text")
    ] = None
    add_generation_prompt: Annotated[Any, Only((None, True), "a reply is always a new message; leave it out")] = None

    @model_validator(mode="after")
    def _logprobs_are_wanted(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            refuse("top_logprobs has no effect without logprobs: true; send both")
        return self


class OpenAiChat:
    """``Dialect``."""

    path = "/v1/chat/completions"
    body: type[BaseModel] = ChatBody
    stream_type = SSE

    def read(self, body: ChatBody) -> Wanted:
        """Understand a valid body. Raises BadRequest for what contradicts itself."""
        num_top_logprobs = (body.top_logprobs or 0) if body.logprobs else None
        ask = Ask(
            sampling=sampling_of(body, _max_tokens(body), num_choices=body.n or 1, num_top_logprobs=num_top_logprobs),
            messages=tuple(map(_message, body.messages)),
            thinking=thinking_of(body),
        )
        return Wanted(
            model=body.model,
            asks=(ask,),
            is_stream=bool(body.stream),
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
            reply_id=new_id("chatcmpl-"),
            created=now(),
        )

    def whole(self, told: Told, choices: Sequence[Choice]) -> dict[str, Any]:
        """The reply in one piece."""
        usage = Usage(told)
        for choice in choices:
            usage.add(choice)
        return {
            "id": told.wanted.reply_id,
            "object": "chat.completion",
            "created": told.wanted.created,
            "model": told.desk.name,
            "choices": [_choice(told, index, choice) for index, choice in enumerate(choices)],
            "usage": usage.chat(),
        }

    async def stream(self, told: Told, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """The reply piece by piece; what comes together is sent together."""
        writer, num_open = _ChunkWriter(told), told.num_choices
        async for part in parts:
            chunks = writer.chunks(part)
            num_open -= part.end is not None
            if num_open == 0:
                chunks += [writer.usage_chunk(), DONE] if told.wanted.include_usage else [DONE]
            yield "".join(chunks)

    def error(self, status: int, message: str, code: str) -> dict[str, Any]:
        """How the API says that something went wrong."""
        return openai_error(status, message, code)

    def stream_error(self, status: int, message: str, code: str, num_sent: int) -> str:
        """The same in the midst of a stream."""
        return openai_stream_error(status, message, code)


def _max_tokens(body: ChatBody) -> int | None:
    old, new = body.max_tokens, body.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise BadRequest("max_tokens and max_completion_tokens contradict each other; send one of them")
    return old if new is None else new


def _message(message: AskingMessage | AssistantMessage) -> Message:
    if isinstance(message, AskingMessage):
        return Message("user" if message.role == "user" else "system", text_of(message.content))
    thought = message.reasoning_content or message.reasoning or message.thinking or ""
    return Message("assistant", text_of(message.content), thought)


def _choice(told: Told, index: int, choice: Choice) -> dict[str, Any]:
    message = {"role": "assistant", "content": choice.answer}
    if choice.thought:
        message |= _thought(choice.thought)
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(told, choice.tokens) if _wants_logprobs(told) else None,
        "finish_reason": choice.end,
    }


def _thought(text: str) -> dict[str, str]:
    return {"reasoning_content": text, "reasoning": text}


def _wants_logprobs(told: Told) -> bool:
    return told.wanted.asks[0].sampling.num_top_logprobs is not None


def _logprobs(told: Told, tokens: Sequence[ShownToken]) -> dict[str, Any]:
    names = token_names(told.desk.prompter.tokenizer)
    thought, answer = split_tokens(tokens)
    found: dict[str, Any] = {"content": token_rows(names, answer), "refusal": None}
    return found | ({"reasoning_content": token_rows(names, thought)} if thought else {})


class _ChunkWriter:
    """Splices chunks of texts that are the same all the time: a stream has one for each token."""

    def __init__(self, told: Told) -> None:
        self._told, self._usage = told, Usage(told)
        self._has_begun: set[int] = set()
        wanted = told.wanted
        self._common: dict[str, Any] = {
            "id": wanted.reply_id,
            "object": "chat.completion.chunk",
            "created": wanted.created,
            "model": told.desk.name,
        }
        self._head, self._end = chunk_borders(told, self._common)

    def chunks(self, part: Part) -> list[str]:
        """Thought and answer each in a chunk of its own, and so the end."""
        found: list[str] = []
        if part.choice not in self._has_begun:
            self._has_begun.add(part.choice)
            found.append(self._chunk(part.choice, _FIRST_DELTA))
        thought, answer = split_tokens(part.tokens) if part.tokens else ((), ())
        if part.thought or thought:
            text = to_json(part.thought)
            delta = f'{{"reasoning_content":{text},"reasoning":{text}}}'
            found.append(self._chunk(part.choice, delta, thought))
        if part.answer or answer:
            found.append(self._chunk(part.choice, f'{{"content":{to_json(part.answer)}}}', answer))
        if part.end is not None:
            self._usage.add(part)
            found.append(self._chunk(part.choice, "{}", end=part.end))
        return found

    def usage_chunk(self) -> str:
        """The last one, if the client wants the counts."""
        return event({**self._common, "choices": [], "usage": self._usage.chat()})

    def _chunk(self, choice: int, delta: str, tokens: Sequence[ShownToken] = (), end: str | None = None) -> str:
        logprobs = to_json(_logprobs(self._told, tokens)) if tokens else "null"
        reason = "null" if end is None else f'"{end}"'
        return f'{self._head}"index":{choice},"delta":{delta},"logprobs":{logprobs},"finish_reason":{reason}{self._end}'


_FIRST_DELTA = '{"role":"assistant","content":""}'
