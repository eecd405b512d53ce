"""A model that another program serves: vLLM, Ollama, llama.cpp, or a provider (OpenAI's chat and completion API).

What it says is text from a stranger: callers check it. That it says nothing is an error, never an empty reply.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import httpx2

from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError

Message = dict[str, str]
"""``role`` (system, user, assistant) and ``content``."""
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""


class ServedModel:
    """A client with retries. Use as a context manager: it keeps connections open."""

    def __init__(self, settings: Endpoint) -> None:
        """Raises EndpointError if the key's variable is not set."""
        self.settings = settings
        headers: dict[str, str] = {}
        if settings.key_variable is not None:
            key = os.environ.get(settings.key_variable)
            if not key:
                raise EndpointError(
                    f"{settings.url}: the environment variable {settings.key_variable} is empty or not set; put the "
                    "server's key into it, or remove key_variable"
                )
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx2.Client(headers=headers, timeout=settings.timeout_seconds)

    def __enter__(self) -> "ServedModel":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def chat(self, conversations: Sequence[Sequence[Message]], seed: int = 0) -> list[str]:
        """The reply to each conversation, in order. Raises EndpointError as ``post`` does, or for a reply of no form.

        Request ``i`` carries the seed ``seed + i``, for servers that heed it.
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
        return [self._content(answer) for answer in self.post("chat/completions", bodies)]

    def post(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send each body with the model's name to ``url/path``; gives back the JSON answers in order.

        Raises EndpointError if the server is down, too slow, or refuses, after ``retries`` more tries each.
        """
        workers = min(self.settings.concurrency, max(1, len(bodies)))
        with ThreadPoolExecutor(workers) as threads:
            waiting = [threads.submit(self._send, path, {"model": self.settings.name} | body) for body in bodies]
            try:
                return [future.result() for future in waiting]
            except EndpointError:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        address = f"{self.settings.url.rstrip('/')}/{path}"
        problem, pause = "", FIRST_PAUSE_SECONDS
        for attempt in range(self.settings.retries + 1):
            if attempt:
                time.sleep(min(pause, MAX_PAUSE_SECONDS))
                pause = 2 * pause
            try:
                response = self._client.post(address, json=body)
            except httpx2.HTTPError as error:
                problem = f"{type(error).__name__} {error}"
                continue
            if response.status_code == 200:
                return self._json(address, response)
            problem = f"status {response.status_code}: {response.text[:200]!r}"
            if response.status_code not in _PASSING:
                raise EndpointError(
                    f"{address}: refused the request ({problem}); correct url, name or key, or what is asked for"
                )
            pause = max(pause, _asked_pause(response))
        raise EndpointError(
            f"{address}: no reply in {self.settings.retries + 1} tries ({problem}); start the server, or raise "
            "timeout_seconds or retries, then give the same command again"
        )

    def _json(self, address: str, response: httpx2.Response) -> dict[str, Any]:
        try:
            found: Any = response.json()
        except ValueError as error:
            raise EndpointError(f"{address}: its reply is not JSON ({error}); correct url") from error
        if not isinstance(found, dict):
            raise EndpointError(f"{address}: its reply is no JSON object; correct url")
        return cast("dict[str, Any]", found)

    def _content(self, answer: dict[str, Any]) -> str:
        try:
            content = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointError(f"{self.settings.url}: its reply has no choices[0].message.content") from error
        return content if isinstance(content, str) else ""


def _asked_pause(response: httpx2.Response) -> float:
    """Seconds that the server asks to wait; 0 if it names none."""
    try:
        return float(response.headers.get("retry-after", 0))
    except ValueError:
        return 0.0
