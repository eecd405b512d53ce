"""A model that another program serves: vLLM, Ollama, llama.cpp, or a provider (OpenAI's chat and completion API).

What it says is text from a stranger: callers check it. A server that does not answer is an error, never an empty reply.
"""

import json
import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from thinkwright.characters import HALF_CHARACTER
from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError

Message = dict[str, str]
"""``role`` (system, user, assistant) and ``content``."""
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
MAX_REPLY_BYTES = 16 << 20
_PROBE_TOKENS = 16
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""


@dataclass(frozen=True)
class ChatReply:
    """What a served model said."""

    text: str
    """Whole characters only; empty if it said nothing."""
    finish_reason: str | None
    """As the server gives it: ``stop``, or ``length`` for a reply that was cut."""

    @property
    def is_cut(self) -> bool:
        """Whether ``max_tokens`` ended it."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class _Answer:
    """What came of one request."""

    status: int
    headers: httpx2.Headers
    content: bytes


class ServedModel:
    """A client with retries. Use as a context manager: it keeps connections open."""

    def __init__(self, settings: Endpoint) -> None:
        """Raises EndpointError if the key's variable is not set or holds what no key does."""
        self.settings = settings
        headers = {} if settings.key_variable is None else {"Authorization": f"Bearer {key_of(settings)}"}
        self._client = httpx2.Client(
            headers=headers, timeout=settings.timeout_seconds, trust_env=may_be_behind_proxy(settings)
        )

    def __enter__(self) -> "ServedModel":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def probe(self) -> None:
        """Ask for a few words, so that a server that cannot answer is known of early. Raises as ``post`` does."""
        messages = [{"role": "user", "content": "Say ok."}]
        body = {"messages": messages, "max_tokens": min(_PROBE_TOKENS, self.settings.max_tokens)}
        self._reply(self.post("chat/completions", [body])[0])

    def chat(self, conversations: Sequence[Sequence[Message]], seed: int = 0) -> list[ChatReply]:
        """The reply to each conversation, in order. Raises as ``chat_each`` does."""
        with closing(self.chat_each(conversations, seed)) as replies:
            found = dict(replies)
        return [found[i] for i in range(len(conversations))]

    def chat_each(self, conversations: Sequence[Sequence[Message]], seed: int = 0) -> Generator[tuple[int, ChatReply]]:
        """Replies as they come, each with the index of its conversation.

        Request ``i`` carries the seed ``seed + i``, for servers that heed it. Raises EndpointError as ``post`` does, or
        for a reply of no form.
        """
        bodies = [
            {
                "messages": list(messages),
                "temperature": self.settings.temperature,
                "max_tokens": self.settings.max_tokens,
                "seed": seed + i,
            }
            for i, messages in enumerate(conversations)
        ]
        with closing(self.post_each("chat/completions", bodies)) as answers:
            for i, answer in answers:
                yield i, self._reply(answer)

    def post(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send each body with the model's name to ``url/path``; gives back the JSON answers in order.

        Raises EndpointError if the server is down, too slow, or refuses, after ``retries`` more tries each.
        """
        with closing(self.post_each(path, bodies)) as answers:
            found = dict(answers)
        return [found[i] for i in range(len(bodies))]

    def post_each(self, path: str, bodies: Sequence[dict[str, Any]]) -> Generator[tuple[int, dict[str, Any]]]:
        """Send each body to ``url/path``; answers as they come, each with its place.

        The first failure is raised at once, and whatever ends this early ends the requests. Threads are daemons: a
        request that waits for its server must not keep a stopped program alive.
        """
        waiting: SimpleQueue[int] = SimpleQueue()
        done: SimpleQueue[tuple[int, dict[str, Any] | Exception]] = SimpleQueue()
        stop = Event()
        for i in range(len(bodies)):
            waiting.put(i)

        def work() -> None:
            while not stop.is_set():
                try:
                    i = waiting.get_nowait()
                except Empty:
                    return
                try:
                    done.put((i, self._send(path, {"model": self.settings.name} | bodies[i], stop)))
                except Exception as error:  # raised again where answers are taken
                    done.put((i, error))
                    stop.set()

        for _ in range(min(self.settings.concurrency, len(bodies))):
            Thread(target=work, daemon=True).start()
        try:
            for _ in bodies:
                i, found = done.get()
                if isinstance(found, Exception):
                    raise found
                yield i, found
        finally:
            stop.set()

    def _send(self, path: str, body: dict[str, Any], stop: Event) -> dict[str, Any]:
        address = f"{self.settings.url.rstrip('/')}/{path}"
        problem, pause = "", FIRST_PAUSE_SECONDS
        for attempt in range(self.settings.retries + 1):
            if attempt:
                if stop.wait(min(pause, MAX_PAUSE_SECONDS)):
                    break
                pause = 2 * pause
            try:
                answer = self._try(address, body)
            except (httpx2.HTTPError, TimeoutError) as error:
                problem = f"{type(error).__name__} {error}"
                continue
            except (httpx2.InvalidURL, UnicodeError, RecursionError) as error:
                raise EndpointError(f"{address}: cannot be asked ({error}); correct url, or the text sent") from error
            if answer.status == 200:
                return _json(address, answer.content)
            problem = f"status {answer.status}: {answer.content[:200].decode(errors='replace')!r}"
            if answer.status not in _PASSING:
                raise EndpointError(
                    f"{address}: refused the request ({problem}); correct url, name or key, or what is asked for"
                )
            pause = max(pause, _asked_pause(answer.headers))
        raise EndpointError(
            f"{address}: no reply in {self.settings.retries + 1} tries ({problem}); start the server, or raise "
            "timeout_seconds or retries, then give the same command again"
        )

    def _try(self, address: str, body: dict[str, Any]) -> _Answer:
        """One request. Raises TimeoutError for a reply that is not whole in time, however it trickles.

        The client's own limit is on each read, so the request has a thread that can be left behind.
        """
        seconds = self.settings.timeout_seconds
        done: SimpleQueue[_Answer | Exception] = SimpleQueue()

        def fetch() -> None:
            try:
                done.put(self._fetch(address, body, time.monotonic() + seconds))
            except Exception as error:  # raised again below
                done.put(error)

        Thread(target=fetch, daemon=True).start()
        try:
            found = done.get(timeout=seconds)
        except Empty:
            found = TimeoutError()
        if isinstance(found, TimeoutError):
            raise TimeoutError(f"not whole after {seconds:g} s")
        if isinstance(found, Exception):
            raise found
        return found

    def _fetch(self, address: str, body: dict[str, Any], deadline: float) -> _Answer:
        content = bytearray()
        with self._client.stream("POST", address, json=body) as response:
            for piece in response.iter_bytes():
                content += piece
                if len(content) > MAX_REPLY_BYTES:
                    raise EndpointError(
                        f"{address}: its reply is over {MAX_REPLY_BYTES >> 20} MB; correct url, or lower max_tokens"
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError
            return _Answer(response.status_code, response.headers, bytes(content))

    def _reply(self, answer: dict[str, Any]) -> ChatReply:
        try:
            choice = answer["choices"][0]
            content, reason = choice["message"]["content"], choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EndpointError(f"{self.settings.url}: its reply has no choices[0].message.content") from error
        text = HALF_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", content) if isinstance(content, str) else ""
        return ChatReply(text, reason if isinstance(reason, str) else None)


def key_of(settings: Endpoint) -> str:
    """The key, which no message ever holds. Raises EndpointError if its variable is not set, or holds no key."""
    key = os.environ.get(settings.key_variable or "", "").strip()
    if not key:
        raise EndpointError(
            f"{settings.url}: the environment variable {settings.key_variable} is empty or not set; put the server's "
            "key into it, or remove key_variable"
        )
    if not (key.isascii() and key.isprintable()):
        raise EndpointError(
            f"{settings.url}: the environment variable {settings.key_variable} holds a character that no key has (a "
            "control character, or one outside ASCII); set it anew"
        )
    return key


def may_be_behind_proxy(settings: Endpoint) -> bool:
    """Whether the environment's proxy (HTTP_PROXY) is for this server: not for one of this machine."""
    from thinkwright.web import is_own_name  # with it come a server's libraries

    return not is_own_name(urlsplit(settings.url).netloc)


def _json(address: str, content: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EndpointError(f"{address}: its reply is not JSON ({error}); correct url") from error
    if not isinstance(found, dict):
        raise EndpointError(f"{address}: its reply is no JSON object; correct url")
    return cast("dict[str, Any]", found)


def _asked_pause(headers: httpx2.Headers) -> float:
    """Seconds that the server asks to wait; 0 if it names none."""
    try:
        return float(headers.get("retry-after", 0))
    except ValueError:
        return 0.0
