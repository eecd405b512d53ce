"""OpenAI's text completions: a prompt as it is, without a template, and its continuation.

Nothing is told apart: a thought stands in the text, tags and all. As with OpenAI, a completion has 16 tokens where a
request does not say how many.
"""

import codecs
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag

from thinkwright.serving.apis.bodies import (
    MAX_CHOICES,
    WHOLE,
    Choices,
    Count,
    NoGrammar,
    Only,
    SamplingBody,
    StreamOptions,
    Text,
    TopLogprobs,
    sampling_of,
)
from thinkwright.serving.apis.dialect import Choice, Told, Wanted
from thinkwright.serving.apis.framing import DONE, SSE, event, to_json
from thinkwright.serving.apis.openai_common import Usage, chunk_borders, new_id, now, openai_error, openai_stream_error
from thinkwright.serving.apis.token_names import TokenNames, shown_logprob, token_names
from thinkwright.serving.ask import Ask, Part, ShownToken

DEFAULT_MAX_TOKENS = 16
_MAX_TOKEN_ID = (1 << 31) - 1


def _prompt_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list):
        return "token lists"
    return "texts" if isinstance(first, str) else "tokens" if isinstance(first, int | float) else None


_Tokens = Annotated[
    list[Annotated[int, Field(strict=True, ge=0, le=_MAX_TOKEN_ID), WHOLE]], Field(min_length=1, fail_fast=True)
]
_PROMPTS = Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True)
PromptField = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[Text], _PROMPTS, Tag("texts")]
    | Annotated[_Tokens, Tag("tokens")]
    | Annotated[list[_Tokens], _PROMPTS, Tag("token lists")],
    Discriminator(
        _prompt_kind,
        custom_error_type="refused",
        custom_error_message="must be a text, a list of texts, a list of token ids, or a list of such lists",
    ),
]


class CompletionsBody(SamplingBody):
    """A request."""

    prompt: PromptField
    max_tokens: Count | None = None
    n: Choices | None = None
    logprobs: TopLogprobs | None = None
    stream_options: StreamOptions | None = None
    echo: Annotated[Any, Only((None, False), "prompts are not given back, nor scored; leave it out")] = None
    suffix: Annotated[Any, Only((None, ""), "texts are gone on with, not filled in; leave it out")] = None
    best_of: Annotated[Any, Only((None, 1), "replies are not chosen among; use n, and choose of them")] = None
    prompt_logprobs: Annotated[Any, Only((None,), "prompts are not scored; leave it out")] = None
    response_format: NoGrammar = None


class OpenAiCompletions:
    """``Dialect``."""

    path = "/v1/completions"
    body: type[BaseModel] = CompletionsBody
    stream_type = SSE

    def read(self, body: CompletionsBody) -> Wanted:
        """Understand a valid body: an ask for each prompt."""
        max_tokens = body.max_tokens or DEFAULT_MAX_TOKENS
        sampling = sampling_of(body, max_tokens, num_choices=body.n or 1, num_top_logprobs=body.logprobs)
        return Wanted(
            model=body.model,
            asks=tuple(Ask(sampling, prompt=prompt) for prompt in _prompts(body.prompt)),
            is_stream=bool(body.stream),
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
            reply_id=new_id("cmpl-"),
            created=now(),
        )

    def whole(self, told: Told, choices: Sequence[Choice]) -> dict[str, Any]:
        """The reply in one piece; choices of the first prompt come first."""
        usage = Usage(told)
        for choice in choices:
            usage.add(choice)
        rows = [
            {
                "index": index,
                "text": choice.answer,
                "logprobs": _Logprobs(told).of(choice.tokens),
                "finish_reason": choice.end,
            }
            for index, choice in enumerate(choices)
        ]
        return {**_common(told), "choices": rows, "usage": usage.chat()}

    async def stream(self, told: Told, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """The reply piece by piece."""
        common, usage = _common(told), Usage(told)
        head, end = chunk_borders(told, common)
        logprobs: dict[int, _Logprobs] = {}
        async for part in parts:
            if (own := logprobs.get(part.choice)) is None:
                own = logprobs[part.choice] = _Logprobs(told)
            found = to_json(own.of(part.tokens))
            reason = "null" if part.end is None else f'"{part.end}"'
            text = to_json(part.answer)
            yield f'{head}"index":{part.choice},"text":{text},"logprobs":{found},"finish_reason":{reason}{end}'
            if part.end is not None:
                usage.add(part)
        if told.wanted.include_usage:
            yield event({**common, "choices": [], "usage": usage.chat()})
        yield DONE

    def error(self, status: int, message: str, code: str) -> dict[str, Any]:
        """How the API says that something went wrong."""
        return openai_error(status, message, code)

    def stream_error(self, status: int, message: str, code: str, num_sent: int) -> str:
        """The same in the midst of a stream."""
        return openai_stream_error(status, message, code)


def _prompts(prompt: Any) -> list[str | tuple[int, ...]]:
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [tuple(prompt)]
    return [one if isinstance(one, str) else tuple(one) for one in prompt]


def _common(told: Told) -> dict[str, Any]:
    return {
        "id": told.wanted.reply_id,
        "object": "text_completion",
        "created": told.wanted.created,
        "model": told.desk.name,
    }


class _Logprobs:
    """The lists of OpenAI's older format, for one choice; offsets count whole characters of the completion."""

    def __init__(self, told: Told) -> None:
        self._names: TokenNames = token_names(told.desk.prompter.tokenizer)
        self._is_wanted = told.wanted.asks[0].sampling.num_top_logprobs is not None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def of(self, tokens: Sequence[ShownToken]) -> dict[str, Any] | None:
        """The next tokens; None if the client did not ask for log-probabilities."""
        if not self._is_wanted:
            return None
        offsets: list[int] = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(self._decoder.decode(self._names.name(token.token_id)[1]))
        return {
            "tokens": [self._names.name(token.token_id)[0] for token in tokens],
            "token_logprobs": [shown_logprob(token.logprob) for token in tokens],
            "top_logprobs": [
                {self._names.name(token_id)[0]: shown_logprob(logprob) for token_id, logprob in token.alternatives}
                for token in tokens
            ],
            "text_offset": offsets,
        }
