"""Who may ask and how much: keys, names, origins and sizes are checked before anything is read."""

import asyncio
import hmac
import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thinkwright.serving.apis.openai_common import openai_error
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.web import SECURITY_HEADERS, is_own_name

# Neither tells nor changes anything: the page asks for the key itself.
_OPEN_PATHS = frozenset({"/", "/favicon.ico", "/health"})
_OPEN_FOLDER = "/page/"
BODY_SECONDS = 60.0
"""A request's body must have come by then."""


class TooLarge(Exception):
    """A body is over the limit."""


class TooSlow(Exception):
    """A body had not come in time."""


class Guard:
    """Refuses what must not pass, and adds headers to what does; ``scope["has_key"]`` says whether the key was sent."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: ServingMetrics,
        api_key: str | None,
        is_loopback: bool,
        max_body_bytes: int,
        names: Collection[str] = (),
        paths: Collection[str] = (),
    ) -> None:
        """``is_loopback``: only this machine can reach the server, so other names for it are an attack.

        ``names``: those that a proxy before it is asked by. ``paths``: those that are counted one by one.
        """
        self._app, self._metrics = app, metrics
        self._api_key, self._is_loopback, self._max_body_bytes = api_key, is_loopback, max_body_bytes
        self._names, self._paths = frozenset(name.lower() for name in names), frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        label = path if path in self._paths else "other"
        request = Request(scope)
        scope["has_key"] = self._has_key(request.headers)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", [])}
                added = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *(row for row in added if row[0] not in given)]
                self._metrics.requests.labels(label, message["status"]).inc()
            await send(message)

        refusal = self._refusal(request, path)
        await (refusal or self._app)(scope, self._limited(receive), send_guarded)

    def _limited(self, receive: Receive) -> Receive:
        """Raises TooLarge once a body is over the limit, whatever its headers say, and TooSlow if it does not come."""
        num_bytes, is_whole = 0, False
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS

        async def receive_limited() -> Message:
            nonlocal num_bytes, is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else deadline):
                    message = await receive()
            except TimeoutError:
                raise TooSlow from None
            is_whole = not message.get("more_body", False)
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_body_bytes:
                raise TooLarge
            return message

        return receive_limited

    def _refusal(self, request: Request, path: str) -> Response | None:
        headers = request.headers
        host = headers.get("host", "")
        if self._is_loopback and not is_own_name(host) and _name(f"//{host}") not in self._names:
            said = "this server is asked by another name than 127.0.0.1 or localhost"
            return _refused(421, f"{said}; if a proxy stands before it, start it with --name NAME", "wrong_host")
        origin = headers.get("origin")
        if origin is not None and _site(origin) != host and _name(origin) not in self._names:
            said = "pages of other sites may not ask this server"
            return _refused(403, f"{said}; if a proxy stands before it, start it with --name NAME", "wrong_origin")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > self._max_body_bytes:
            return _refused(413, f"the body is over {self._max_body_bytes} bytes; send less", "body_too_large")
        is_open = path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)
        if not is_open and not request.scope["has_key"]:
            refused = _refused(401, "no key, or a wrong one; send it as 'Authorization: Bearer KEY'", "invalid_api_key")
            refused.headers["www-authenticate"] = "Bearer"
            return refused
        return None

    def _has_key(self, headers: Headers) -> bool:
        """Compared in constant time."""
        if self._api_key is None:
            return True
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = (key if scheme.lower() == "bearer" else headers.get("x-api-key", "")).strip()
        return hmac.compare_digest(given.encode(errors="replace"), self._api_key.encode())


def _site(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket without an address
        return None


def _name(address: str) -> str | None:
    """The host's name alone, in small letters."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def too_large(max_body_bytes: int) -> Response:
    """What a client gets whose body turned out too large."""
    return _refused(413, f"the body is over {max_body_bytes} bytes; send less", "body_too_large")


def too_slow() -> Response:
    """What a client gets whose body does not come."""
    refused = _refused(408, f"the body had not come after {BODY_SECONDS:g} s; send it at once", "body_too_slow")
    refused.headers["connection"] = "close"  # its rest is not waited for
    return refused


def _refused(status: int, message: str, code: str) -> JSONResponse:
    """In OpenAI's form, which Ollama's clients read as well (``error`` is there)."""
    return JSONResponse(openai_error(status, message, code), status)


def body_of(raw: bytes) -> object:
    """The JSON of a body. Raises ValueError, also for NaN, for numbers of thousands of digits, and for deep nesting."""
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("too deeply nested") from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
