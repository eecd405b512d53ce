"""Who may ask and how much: keys, names, origins and sizes are checked before anything is read."""

import asyncio
import hmac
import json
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    """Refuses what must not pass, and adds headers to what does."""

    def __init__(
        self, app: ASGIApp, *, metrics: ServingMetrics, api_key: str | None, is_loopback: bool, max_body_bytes: int
    ) -> None:
        """``is_loopback``: only this machine can reach the server, so other names for it are an attack."""
        self._app, self._metrics = app, metrics
        self._api_key, self._is_loopback, self._max_body_bytes = api_key, is_loopback, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", [])}
                added = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *(row for row in added if row[0] not in given)]
                self._metrics.requests.labels(scope.get("route_path", "other"), message["status"]).inc()
            await send(message)

        refusal = self._refusal(Request(scope), path)
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
        if self._is_loopback and not is_own_name(host):
            return _refused(421, "this server is asked by another name than 127.0.0.1 or localhost", "wrong_host")
        origin = headers.get("origin")
        if origin is not None and _site(origin) != host:
            return _refused(403, "pages of other sites may not ask this server", "wrong_origin")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > self._max_body_bytes:
            return _refused(413, f"the body is over {self._max_body_bytes} bytes; send less", "body_too_large")
        is_open = path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)
        if not is_open and not self._has_key(headers.get("authorization", ""), headers.get("x-api-key", "")):
            refused = _refused(401, "no key, or a wrong one; send it as 'Authorization: Bearer KEY'", "invalid_api_key")
            refused.headers["www-authenticate"] = "Bearer"
            return refused
        return None

    def _has_key(self, authorization: str, x_api_key: str) -> bool:
        """Compared in constant time."""
        if self._api_key is None:
            return True
        scheme, _, key = authorization.partition(" ")
        given = (key if scheme.lower() == "bearer" else x_api_key).strip()
        return hmac.compare_digest(given.encode(errors="replace"), self._api_key.encode())


def _site(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket without an address
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
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status)


def body_of(raw: bytes) -> object:
    """The JSON of a body. Raises ValueError, also for NaN, for numbers of thousands of digits, and for deep nesting."""
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("too deeply nested") from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
