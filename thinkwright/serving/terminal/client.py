"""A chat with any server that speaks OpenAI's API: a reply piece by piece, thought and answer told apart.

What a server says is text from a stranger: whoever shows it takes care of control characters.
"""

import contextlib
import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import httpx2

from thinkwright.characters import with_controls_shown
from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError
from thinkwright.models.endpoint import MAX_REPLY_BYTES, Message, key_of, may_be_behind_proxy
from thinkwright.serving.terminal.deltas import DeltaReader, Piece, Usage, usage_of

CONNECT_SECONDS = 10.0
_SHOWN_CHARACTERS = 300
_SHOWN_MODELS = 20
_DONE: dict[str, Any] = {}


@dataclass(frozen=True)
class ChatOptions:
    """How replies are asked for; None: nothing is sent, so it is as the server has it."""

    is_thinking: bool | None = None
    budget: int | None = None
    """Tokens after which the thought is to end."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    def body(self) -> dict[str, Any]:
        """What they are in a request."""
        names = ("temperature", "top_p", "max_tokens")
        plain = {name: value for name in names if (value := getattr(self, name)) is not None}
        return plain | _switches(self.is_thinking, self.budget)


def _switches(is_thinking: bool | None, budget: int | None) -> dict[str, Any]:
    """Thinking on or off, and its budget, in the forms that servers know; each passes over those of others.

    Servers that refuse what they do not know (OpenAI's own) say so with status 400, and the client says on what helps.
    """
    template: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if is_thinking is not None:
        # vLLM, SGLang, llama.cpp, ours: Qwen's and most templates read the first, DeepSeek's and Granite's the other.
        template |= {"enable_thinking": is_thinking, "thinking": is_thinking}
        found["thinking"] = {"type": "enabled" if is_thinking else "disabled"}  # DeepSeek's API, ours
    if is_thinking is False:
        found["reasoning_effort"] = "none"  # Ollama, OpenRouter, OpenAI, ours
    if budget is not None and is_thinking is not False:  # of no thought there is no budget: ours refuses both
        found["thinking_token_budget"] = budget  # vLLM, ours
        template["thinking_budget"] = budget  # templates that tell the model of it
    return found | ({"chat_template_kwargs": template} if template else {})


@dataclass(frozen=True)
class End:
    """How a reply ended."""

    reason: str | None
    """As the server gives it: ``stop``, ``length``; None if it does not say."""
    usage: Usage


class ChatClient:
    """Talks with one server. Use as a context manager: it keeps a connection open."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Waits ``timeout_seconds`` for each word, not for all. Raises EndpointError as ``key_of``."""
        self.endpoint = endpoint
        headers = {} if endpoint.key_variable is None else {"Authorization": f"Bearer {key_of(endpoint)}"}
        limits = httpx2.Timeout(endpoint.timeout_seconds, connect=min(CONNECT_SECONDS, endpoint.timeout_seconds))
        self._client = httpx2.Client(headers=headers, timeout=limits, trust_env=may_be_behind_proxy(endpoint))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def models(self) -> list[str]:
        """What the server calls its models. Raises EndpointError as ``reply``."""
        with self._asked("GET", "models", None, "its list of models") as response:
            content = b"".join(self._lines(response, "its list of models"))
        try:
            rows = json.loads(content)["data"]
            return [row["id"] for row in rows if isinstance(row["id"], str)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EndpointError(
                f"{self._address('models')}: its list of models cannot be read; write URL#NAME"
            ) from error

    def reply(self, name: str, messages: Sequence[Message], options: ChatOptions) -> Generator[Piece | End]:
        """The reply to a conversation as it comes, ``End`` last.

        What came is given before an error is raised. Raises EndpointError if the server is down, refuses, is silent for
        too long, ends in the middle, or sends what is no stream of a chat.
        """
        body = {"model": name, "messages": list(messages), "stream": True, "stream_options": {"include_usage": True}}
        reader = DeltaReader()
        try:
            with self._asked("POST", "chat/completions", body | options.body(), f"{name}'s first word") as response:
                end = yield from self._pieces(response, name, reader)
        except EndpointError:
            yield from reader.finish()
            raise
        yield from reader.finish()
        yield end

    def _pieces(self, response: httpx2.Response, name: str, reader: DeltaReader) -> Generator[Piece, None, End]:
        self._check_stream(response)
        reason, usage, is_done, what = None, Usage(), False, f"{name}'s first word"
        heard_at = time.monotonic()
        for line in self._lines(response, what):
            chunk = self._chunk(line)
            if chunk is None:  # a comment that keeps the connection alive does not count as a word
                if time.monotonic() - heard_at > self.endpoint.timeout_seconds:
                    raise self._silence(what)
                continue
            if chunk is _DONE:
                is_done = True
                break
            heard_at, what = time.monotonic(), f"{name}'s next word"
            usage = usage_of(chunk) or usage
            choice = _first(chunk.get("choices"))
            yield from reader.feed(_dict(choice.get("delta")))
            if isinstance(found := choice.get("finish_reason"), str):
                reason = found
        if not is_done and reason is None:
            raise EndpointError(
                f"{self._here}: cut the reply off in the middle; ask again, or look at the server's log"
            )
        return End(reason, usage)

    def _check_stream(self, response: httpx2.Response) -> None:
        found = response.headers.get("content-type", "nothing")
        if not found.lower().startswith("text/event-stream"):
            said = _excerpt(b"".join(self._lines(response, "its reply")))
            raise EndpointError(
                f"{self._here}: sends no stream of events but {found!r} ({said}); correct the address, which mostly "
                "ends in /v1"
            )

    def _chunk(self, line: bytes) -> dict[str, Any] | None:
        """What a line of the stream holds; ``_DONE`` at the stream's end, None if it is no data."""
        field, _, value = line.partition(b":")
        if field not in (b"data", b"error") or not value.strip():
            return None
        if value.strip() == b"[DONE]":
            return _DONE
        try:
            found: Any = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise EndpointError(f"{self._here}: sent what cannot be read ({_excerpt(value)}); ask again") from error
        if not isinstance(found, dict) or field == b"error" or found.get("error"):
            raise EndpointError(f"{self._here}: failed in the middle of its reply ({_excerpt(value)}); ask again")
        return cast("dict[str, Any]", found)

    def _lines(self, response: httpx2.Response, what: str) -> Iterator[bytes]:
        """Lines of a reply as they come, of bounded size. Raises EndpointError if there is nothing for too long."""
        held, size = b"", 0
        try:
            for piece in response.iter_bytes():
                size += len(piece)
                if size > MAX_REPLY_BYTES:
                    raise EndpointError(
                        f"{self._here}: its reply is over {MAX_REPLY_BYTES >> 20} MB; correct the address"
                    )
                *lines, held = (held + piece).split(b"\n")
                yield from (line.rstrip(b"\r") for line in lines)
        except httpx2.TimeoutException as error:
            raise self._silence("its next word" if size else what) from error
        except httpx2.HTTPError as error:
            raise EndpointError(
                f"{self._here}: cut the reply off in the middle ({error}); ask again, or look at the server's log"
            ) from error
        if held:
            yield held

    @contextlib.contextmanager
    def _asked(self, method: str, path: str, body: dict[str, Any] | None, what: str) -> Iterator[httpx2.Response]:
        """Ask, and see that the server does not refuse."""
        address = self._address(path)
        try:
            request = self._client.build_request(method, address, json=body)
            response = self._client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise EndpointError(
                f"{address}: nothing answers there ({error}); start it, or correct the address"
            ) from error
        except httpx2.TimeoutException as error:
            raise self._silence(what) from error
        except httpx2.HTTPError as error:
            raise EndpointError(f"{address}: ended the connection without a reply ({error}); ask again") from error
        except (httpx2.InvalidURL, UnicodeError, RecursionError) as error:
            raise EndpointError(f"{address}: cannot be asked ({error}); correct the address") from error
        with contextlib.closing(response):
            if response.status_code != 200:
                said = _excerpt(b"\n".join(self._lines(response, "what it says")))
                remedy = self._remedy(response.status_code, body)
                raise EndpointError(f"{address}: refused with status {response.status_code} ({said}); {remedy}")
            yield response

    def _remedy(self, status: int, body: dict[str, Any] | None) -> str:
        if status in (401, 403):
            variable = self.endpoint.key_variable
            return f"put another key into {variable}" if variable else "give --key-variable NAME with a key in it"
        if status == 404 and body is None:
            return "correct the address, which mostly ends in /v1, or write URL#NAME"
        if status == 404:
            return f"is {body and body['model']!r} one of its models (/model lists them)? Does the address end in /v1?"
        if status == 429:
            return "wait, then ask again"
        if status >= 500:
            return "ask again, or look at the server's log"
        if body and ("chat_template_kwargs" in body):
            return "if it does not know the switches of thinking, leave --thinking and --budget out"
        return "change what is asked for"

    def _silence(self, what: str) -> EndpointError:
        return EndpointError(
            f"{self._here}: waited {self.endpoint.timeout_seconds:g} s for {what}; is it still at work? Ask again"
        )

    @property
    def _here(self) -> str:
        return self.endpoint.url

    def _address(self, path: str) -> str:
        return f"{self.endpoint.url.rstrip('/')}/{path}"


def only_model(client: ChatClient) -> str:
    """The name of the one model that a server has. Raises EndpointError, with the names, if there are several."""
    names, url = client.models(), client.endpoint.url
    if not names:
        raise EndpointError(f"{url}: has no model; load one into the server")
    if len(names) > 1:
        shown = [with_controls_shown(name) for name in names[:_SHOWN_MODELS]]
        more = f" and {len(names) - _SHOWN_MODELS:,} more" if len(names) > _SHOWN_MODELS else ""
        raise EndpointError(f"{url}: has several models: {', '.join(shown)}{more}; write {url}#{shown[0]}")
    return names[0]


def _excerpt(content: bytes) -> str:
    """What a server said of an error, on one line."""
    text = content.decode(errors="replace")
    try:
        found: Any = json.loads(content)
        while isinstance(found, dict):
            rows = cast("dict[str, Any]", found)
            found = next((rows[key] for key in ("error", "message", "detail") if rows.get(key)), text)
        text = found if isinstance(found, str) else text
    except (ValueError, RecursionError):
        pass
    text = with_controls_shown(" ".join(text.split()))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _first(rows: Any) -> dict[str, Any]:
    return _dict(cast("list[Any]", rows)[0]) if isinstance(rows, list) and rows else {}


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
