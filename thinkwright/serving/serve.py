"""``thinkwright serve``: models behind one address, until they are told to end."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from thinkwright.config.serving import ServeSettings
from thinkwright.errors import RecipeError, ThinkwrightError
from thinkwright.serving.app import Room, make_app
from thinkwright.serving.ask import BackendError
from thinkwright.serving.engines.native_backend import version_of
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.serving.models import close_desks, newest_source, open_desks
from thinkwright.serving.reply import ModelDesk
from thinkwright.serving.votes import VoteStore
from thinkwright.web import address_of, is_loopback, listen, make_server, run_server

_log = logging.getLogger(__name__)
Say = Callable[[str], None]
FOLLOW_SECONDS = 2.0
_LOOK_SECONDS = 0.1  # between two looks, while models load, whether the server is to end
_START_SECONDS = 900.0
_END_SECONDS = 60.0


def serve(settings: ServeSettings, say: Say) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP takes the newest weights. ``say`` gets the address.

    Raises ThinkwrightError for a model that cannot be served or an address that cannot be listened at.
    """
    with contextlib.closing(_listener(settings)) as listener:
        server = _Server(settings, listener, say)
        run_server(server.uvicorn, listener)
        server.raise_failure()


@contextlib.contextmanager
def serving(settings: ServeSettings) -> Iterator[str]:
    """A server in a thread of this process; yields its address. Raises as ``serve``."""
    with contextlib.closing(_listener(settings)) as listener:
        server = _Server(settings, listener, say=_log.info)
        thread = threading.Thread(target=server.uvicorn.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            if not server.is_ready.wait(_START_SECONDS):
                raise ThinkwrightError(f"the models were not loaded within {_START_SECONDS:g} s")
            server.raise_failure()
            yield address_of(listener)
        finally:
            server.uvicorn.should_exit = True
            thread.join(settings.grace_seconds + _END_SECONDS)


def _listener(settings: ServeSettings) -> socket.socket:
    listener = listen(settings.host, settings.port)
    if settings.api_key is None and not is_loopback(listener):
        listener.close()
        raise RecipeError(
            f"--host {settings.host}: other machines could ask this server; give a key with --api-key, or leave --host "
            "out to serve this machine alone"
        )
    return listener


class _Server:
    """Loads the models once the event loop runs, then answers."""

    def __init__(self, settings: ServeSettings, listener: socket.socket, say: Say) -> None:
        self._settings, self._listener, self._say = settings, listener, say
        self._app: Starlette | None = None
        self._failure: Exception | None = None
        self.is_ready = threading.Event()
        """Set once it answers, or cannot be made to."""
        self.uvicorn: uvicorn.Server = make_server(self._outer_app(), settings.grace_seconds)

    def raise_failure(self) -> None:
        """Raise what kept the server from starting, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _outer_app(self) -> Starlette:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            assert self._app is not None, "requests come after the start"
            await self._app(scope, receive, send)

        outer = Starlette(lifespan=self._lifespan)
        outer.mount("/", inner)
        return outer

    @contextlib.asynccontextmanager
    async def _lifespan(self, outer: Starlette) -> AsyncIterator[None]:
        desks: dict[str, ModelDesk] = {}
        votes: VoteStore | None = None
        reloads = _reload_at_hangup(desks)
        async with contextlib.AsyncExitStack() as stack:
            try:
                votes = stack.enter_context(contextlib.closing(VoteStore(self._settings.votes)))
                desks |= await self._opened()
            except Exception as error:  # raised again where the server was started
                self._failure, self.uvicorn.should_exit = error, True
            if votes is None or not desks:  # it failed, or is to end already
                self.is_ready.set()
                yield
                return
            stack.push_async_callback(close_desks, desks)
            room = Room(desks, self._settings, ServingMetrics(desks), votes)
            self._app = make_app(room, is_loopback=is_loopback(self._listener))
            if self._settings.follow:
                reloads.add(asyncio.create_task(_follow(desks, self._settings)))
            self._say(f"serving {', '.join(desks)}\n{address_of(self._listener)}/ (Ctrl-C ends it)")
            self.is_ready.set()
            yield
            for task in reloads:
                task.cancel()

    async def _opened(self) -> dict[str, ModelDesk]:
        """The models; none if the server is to end before they are loaded."""
        opening = asyncio.create_task(open_desks(self._settings))
        while not opening.done():
            await asyncio.wait((opening,), timeout=_LOOK_SECONDS)
            if self.uvicorn.should_exit and not opening.done():
                opening.cancel()
                await asyncio.wait((opening,))
        if opening.cancelled():
            return {}
        return opening.result()


def _reload_at_hangup(desks: dict[str, ModelDesk]) -> set[asyncio.Task[None]]:
    """Take new weights at SIGHUP, which no longer ends the process. The set holds what is under way."""
    loop = asyncio.get_running_loop()
    pending: set[asyncio.Task[None]] = set()

    def on_signal() -> None:
        task = loop.create_task(_reload_all(desks))
        pending.add(task)
        task.add_done_callback(pending.discard)

    with contextlib.suppress(ValueError, RuntimeError):  # signals are the main thread's
        loop.add_signal_handler(signal.SIGHUP, on_signal)
    return pending


async def _reload_all(desks: dict[str, ModelDesk]) -> None:
    for desk in desks.values():
        try:
            _log.warning("%s now answers with %s", desk.name, await desk.backend.reload())
        except (BackendError, ThinkwrightError, OSError) as error:
            _log.warning("%s goes on with the weights it has: %s", desk.name, error)


async def _follow(desks: dict[str, ModelDesk], settings: ServeSettings) -> None:
    """Take each new checkpoint once: one that cannot be loaded is left until a newer one comes, or SIGHUP."""
    tried = {name: desk.backend.load().version for name, desk in desks.items()}
    problems: dict[str, str] = {}
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        for model, desk in zip(settings.models, desks.values(), strict=True):
            try:
                newest = version_of(await asyncio.to_thread(newest_source, model))
            except (ThinkwrightError, OSError) as error:
                if problems.get(desk.name) != str(error):
                    _log.warning("%s: its newest checkpoint cannot be found: %s", desk.name, error)
                problems[desk.name] = str(error)
                continue
            problems.pop(desk.name, None)
            load = desk.backend.load()
            # An engine that is down is started with the newest by itself.
            if newest not in (tried[desk.name], load.version) and load.is_up:
                tried[desk.name] = newest
                await _reload_all({desk.name: desk})
