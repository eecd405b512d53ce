"""What OpenAI's endpoints share: errors, counts of tokens, log-probabilities."""

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from thinkwright.serving.apis.dialect import Choice, Told
from thinkwright.serving.apis.framing import event, to_json, whole_characters
from thinkwright.serving.apis.token_names import TokenNames, shown_logprob
from thinkwright.serving.ask import Part, ShownToken

_KINDS = {401: "authentication_error", 404: "not_found_error", 408: "timeout_error", 429: "rate_limit_error"}
_ID_BYTES = 12


def new_id(prefix: str) -> str:
    """Of a reply or a part of it."""
    return f"{prefix}{secrets.token_hex(_ID_BYTES)}"


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def openai_error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """How OpenAI says that something went wrong."""
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": whole_characters(message), "type": kind, "param": None, "code": code}}


def openai_stream_error(status: int, message: str, code: str) -> str:
    """The same in a stream."""
    return event(openai_error(status, message, code))


def chunk_borders(told: Told, common: dict[str, Any]) -> tuple[str, str]:
    """What stands before and after the one choice in every chunk of a stream, which has a chunk for each token."""
    no_usage = ',"usage":null' if told.wanted.include_usage else ""
    return f'data: {to_json(common)[:-1]},"choices":[{{', f"}}]{no_usage}}}\n\n"


class Usage:
    """Counts the tokens of a reply."""

    def __init__(self, told: Told) -> None:
        self._num_prompt = told.num_prompt_tokens
        self._num_tokens = self._num_thinking = 0

    def add(self, ended: Part | Choice) -> None:
        """One more choice that has ended."""
        self._num_tokens += ended.num_tokens
        self._num_thinking += ended.num_thinking_tokens

    def chat(self) -> dict[str, Any]:
        """As the chat and completions APIs write it."""
        return {
            "prompt_tokens": self._num_prompt,
            "completion_tokens": self._num_tokens,
            "total_tokens": self._num_prompt + self._num_tokens,
            "completion_tokens_details": {"reasoning_tokens": self._num_thinking},
        }

    def responses(self) -> dict[str, Any]:
        """As the Responses API writes it."""
        return {
            "input_tokens": self._num_prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self._num_tokens,
            "output_tokens_details": {"reasoning_tokens": self._num_thinking},
            "total_tokens": self._num_prompt + self._num_tokens,
        }


def token_rows(names: TokenNames, tokens: Iterable[ShownToken]) -> list[dict[str, Any]]:
    """Tokens with their log-probabilities and those of the likeliest in their place."""
    return [
        {
            **_row(names, token.token_id, token.logprob),
            "top_logprobs": [_row(names, token_id, logprob) for token_id, logprob in token.alternatives],
        }
        for token in tokens
    ]


def _row(names: TokenNames, token_id: int, logprob: float) -> dict[str, Any]:
    text, raw = names.name(token_id)
    return {"token": text, "logprob": shown_logprob(logprob), "bytes": list(raw)}


def split_tokens(tokens: Sequence[ShownToken]) -> tuple[list[ShownToken], list[ShownToken]]:
    """Those of the thought and those of the answer."""
    thought = [token for token in tokens if token.is_thought]
    return thought, [token for token in tokens if not token.is_thought]
