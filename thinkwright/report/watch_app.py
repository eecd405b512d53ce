"""The live page's server: GET and HEAD alone, no state but the watched folders, nothing for pages of elsewhere."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thinkwright.report.watch_reader import Watched
from thinkwright.web import SECURITY_HEADERS, is_own_name

SCAN_SECONDS = 1.0
PING_SECONDS = 15.0
_LOOK_SECONDS = 0.25  # how often an open stream looks for a new version; it reads no file
_RETRY_MILLISECONDS = 2000
_HEADERS = SECURITY_HEADERS | {"content-security-policy": "frame-ancestors 'none'"}


class Watch:
    """The folder that is watched, and the stages' folders if it is a pipeline's, each made when first asked for."""

    def __init__(self, folder: Path, is_closing: Callable[[], bool]) -> None:
        self.root = Watched(folder)
        self.is_closing = is_closing
        self._stages: dict[str, Watched] = {}

    def of(self, request: Request) -> Watched | None:
        """What a request is about; None for a stage that is not there."""
        name = request.path_params.get("stage")
        if name is None:
            return self.root
        if name not in self.root.stages():  # a name is only ever compared with those that there are
            return None
        if name not in self._stages:
            self._stages[name] = Watched(self.root.folder / "stages" / name)
        return self._stages[name]

    async def scan(self) -> None:
        """Look for changes, again and again."""
        while True:
            for watched in [self.root, *self._stages.values()]:
                with contextlib.suppress(OSError):  # the folder changed while it was looked at; the next look will do
                    await asyncio.to_thread(watched.scan)
            await asyncio.sleep(SCAN_SECONDS)


class OwnHostOnly:
    """Refuses other methods and, on a loopback address, all names but its own (DNS rebinding); adds headers."""

    def __init__(self, app: ASGIApp, is_loopback: bool) -> None:
        self._app, self._is_loopback = app, is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        if request.method not in ("GET", "HEAD"):
            return Response("only GET and HEAD\n", 405, {"allow": "GET, HEAD"})
        if self._is_loopback and not is_own_name(request.headers.get("host", "")):
            return Response("this server is asked by another name than 127.0.0.1 or localhost\n", 421)
        return None


def make_app(folder: Path, *, is_loopback: bool, is_closing: Callable[[], bool]) -> Starlette:
    """The server of a folder. ``is_closing`` tells open streams to end."""
    watch = Watch(folder, is_closing)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        scanning = asyncio.create_task(watch.scan())
        yield
        scanning.cancel()

    pages = {"": _page, "events": _events, "sections": _sections, "rollouts": _steps, "evaluations": _steps}
    pages |= {"rollouts/{step:int}": _step, "evaluations/{step:int}": _step}
    routes = [Route(f"/{path}", _about(watch, answer)) for path, answer in pages.items()]
    routes += [Route(f"/stages/{{stage}}/{path}", _about(watch, answer)) for path, answer in pages.items()]
    routes.append(Route("/stages/{stage}/report.html", _to_folder))  # what the pipeline's table links to
    routes.append(Route("/favicon.ico", lambda request: Response(status_code=204)))
    return Starlette(routes=routes, middleware=[Middleware(OwnHostOnly, is_loopback=is_loopback)], lifespan=lifespan)


_Answer = Callable[[Request, Watched, Watch], Response]


def _about(watch: Watch, answer: _Answer) -> Callable[[Request], object]:
    """An endpoint that answers about what the request names, in a thread, as it may read files."""

    async def endpoint(request: Request) -> Response:
        watched = await asyncio.to_thread(watch.of, request)
        if watched is None:
            return Response("there is no such stage, or it has not begun\n", 404)
        return await asyncio.to_thread(answer, request, watched, watch)

    return endpoint


def _page(request: Request, watched: Watched, watch: Watch) -> Response:
    return HTMLResponse(watched.html())


def _sections(request: Request, watched: Watched, watch: Watch) -> Response:
    version, html = watched.sections()
    return HTMLResponse(html, headers={"x-version": version})


def _steps(request: Request, watched: Watched, watch: Watch) -> Response:
    return JSONResponse({"steps": watched.steps(_source(request))})


def _step(request: Request, watched: Watched, watch: Watch) -> Response:
    found = watched.step(_source(request), request.path_params["step"])
    if found is None:
        return Response("there is no such step\n", 404)
    return Response(found, media_type="application/json")


def _source(request: Request) -> str:
    return "rollouts" if "/rollouts" in request.url.path else "evaluations"


def _events(request: Request, watched: Watched, watch: Watch) -> Response:
    """Server-sent events: ``change`` at once and with every new version; a comment every ``PING_SECONDS``."""
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")

    async def stream() -> AsyncIterator[str]:
        sent, sent_at = "", time.monotonic()
        yield f"retry: {_RETRY_MILLISECONDS}\n\n"
        while not watch.is_closing():
            if watched.version != sent:
                changed = watched.changed_since(sent) if sent else []
                sent, sent_at = watched.version, time.monotonic()
                news = {"version": sent, "run": watched.run_id, "changed": changed}
                yield f"event: change\ndata: {json.dumps(news)}\n\n"
            elif time.monotonic() - sent_at >= PING_SECONDS:
                sent_at = time.monotonic()
                yield ": ping\n\n"
            await asyncio.sleep(_LOOK_SECONDS)

    return StreamingResponse(stream(), media_type="text/event-stream")


def _to_folder(request: Request) -> Response:
    return RedirectResponse("./", 307)
