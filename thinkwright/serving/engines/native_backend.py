"""The native engine as a backend: starts its process, sends requests there, hands out what comes back."""

import asyncio
import itertools
import logging
import multiprocessing
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from thinkwright.config.serving import EngineSettings
from thinkwright.errors import ModelError
from thinkwright.pipeline.model_source import ModelSource
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving.ask import BackendError, BadRequest, Overloaded
from thinkwright.serving.engines.backend import Load, Piece
from thinkwright.serving.engines.engine_process import EngineFacts, run_engine

_log = logging.getLogger(__name__)
START_SECONDS = 600.0
"""Loading a model may take so long."""
RELOAD_SECONDS = 600.0
MAX_RESTARTS = 3
"""In a row, none of them ten minutes apart: then the engine stays down."""
_RESTART_WINDOW_SECONDS = 600.0
_CLOSE_SECONDS = 10.0


class _Mailbox:
    """What has come for one request and was not taken yet."""

    def __init__(self) -> None:
        self.pieces: list[Piece | Exception] = []
        self.has_news = asyncio.Event()

    def put(self, piece: Piece | Exception) -> None:
        self.pieces.append(piece)
        self.has_news.set()

    async def take(self) -> list[Piece | Exception]:
        await self.has_news.wait()
        self.has_news.clear()
        pieces, self.pieces = self.pieces, []
        return pieces


class NativeBackend:
    """See ``Backend``. An engine that dies is started again; what ran then fails with BackendError."""

    context = max_prompt_tokens = max_tokens = 0

    def __init__(
        self, find_source: Callable[[], ModelSource], settings: EngineSettings, head_ids: tuple[int, ...] = ()
    ) -> None:
        """``find_source`` names the newest weights; it is asked at every start and reload.

        ``head_ids``: tokens that most prompts begin with.
        """
        self._find_source, self._settings, self._head_ids = find_source, settings, head_ids
        self.facts: EngineFacts
        self._loop: asyncio.AbstractEventLoop
        self._pipe: Connection | None = None
        self._process: Any = None
        self._mailboxes: dict[int, _Mailbox] = {}
        self._keys = itertools.count(1)
        self._running = self._waiting = 0
        self._version = ""
        self._starting: asyncio.Future[EngineFacts] | None = None
        self._reloading: asyncio.Future[None] | None = None
        self._reload_lock = asyncio.Lock()
        self._restarts: list[float] = []
        self._restart_task: asyncio.Task[None] | None = None
        self._is_closing = False

    @property
    def process_id(self) -> int:
        """Of the engine that runs now."""
        return self._process.pid

    async def start(self) -> None:
        """See ``Backend``."""
        self._loop = asyncio.get_running_loop()
        await self._launch()

    def load(self) -> Load:
        """See ``Backend``."""
        waiting = max(0, len(self._mailboxes) - self._running)
        return Load(self._running, waiting, self._pipe is not None, self._version)

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        """See ``Backend``."""
        self._check_room()
        key, box = next(self._keys), _Mailbox()
        self._mailboxes[key] = box
        # One timer a request, rather than one a wait: pieces come by the thousand.
        timer = self._loop.call_later(self._settings.deadline_seconds, box.put, self._too_late())
        is_over = False
        try:
            self._send(("add", key, prompt_ids, settings, name))
            while not is_over:
                for found in await box.take():
                    if isinstance(found, Exception):
                        is_over = isinstance(found, BadRequest)  # then the engine has never begun it
                        raise found
                    is_over = found.end is not None
                    yield found
        finally:
            timer.cancel()
            del self._mailboxes[key]
            if not is_over:
                with suppress(BackendError):
                    self._send(("cancel", key))

    def _too_late(self) -> BackendError:
        return BackendError(f"the reply took over {self._settings.deadline_seconds:g} s (--deadline) and was ended")

    async def reload(self) -> str:
        """See ``Backend``."""
        async with self._reload_lock:
            source = await asyncio.to_thread(self._find_source)
            self._reloading = self._loop.create_future()
            self._send(("reload", source))
            try:
                async with asyncio.timeout(RELOAD_SECONDS):
                    await self._reloading
            except TimeoutError:
                raise BackendError(f"the engine did not load {source.name} within {RELOAD_SECONDS:g} s") from None
            finally:
                self._reloading = None
            self._version = version_of(source)
            return self._version

    async def close(self) -> None:
        """See ``Backend``."""
        self._is_closing = True
        if self._restart_task is not None:
            self._restart_task.cancel()
        with suppress(BackendError):
            self._send(("close",))
        if self._process is not None:
            await asyncio.to_thread(self._process.join, _CLOSE_SECONDS)
            if self._process.is_alive():
                self._process.kill()
                await asyncio.to_thread(self._process.join)

    def _check_room(self) -> None:
        if self._pipe is None:
            raise BackendError("the engine is down; see the server's log")
        if len(self._mailboxes) >= self.facts.slots + self._settings.queue:
            raise Overloaded(1 + len(self._mailboxes) // self.facts.slots)

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._pipe is None:
            raise BackendError("the engine is down; see the server's log")
        try:
            self._pipe.send(message)
        except OSError as error:
            raise BackendError(f"the engine has ended ({error})") from error

    async def _launch(self) -> None:
        source = await asyncio.to_thread(self._find_source)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=run_engine, args=(theirs, source, self._settings, self._head_ids), daemon=True
        )
        self._starting = self._loop.create_future()
        await asyncio.to_thread(self._process.start)
        theirs.close()
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()
        try:
            async with asyncio.timeout(START_SECONDS):
                self.facts = await self._starting
        except TimeoutError:
            self._process.kill()
            raise ModelError(f"{source.name}: was not loaded within {START_SECONDS:g} s") from None
        facts = self.facts
        self.context, self.max_prompt_tokens, self.max_tokens = facts.context, facts.max_prompt_tokens, facts.max_tokens
        self._version, self._pipe = version_of(source), ours

    def _read(self, pipe: Connection) -> None:
        """A thread: messages of one engine until it ends."""
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            try:
                while True:
                    message = pipe.recv()
                    self._loop.call_soon_threadsafe(self._on_message, message)
            except (EOFError, OSError):
                self._loop.call_soon_threadsafe(self._on_end)

    def _on_message(self, message: tuple[Any, ...]) -> None:
        kind, *values = message
        if kind == "events":
            self._on_events(*values)
        elif kind == "ready":
            _resolve(self._starting, values[0])
        elif kind == "refused":
            if box := self._mailboxes.get(values[0]):
                box.put(BadRequest(values[1]))
        elif kind == "reloaded":
            _resolve(self._reloading, None)
        elif kind == "not_reloaded":
            _refuse(self._reloading, BackendError(values[0]))
        elif kind == "failed":
            _log.error("the engine failed: %s", values[0])
            _refuse(self._starting, ModelError(values[0]))

    def _on_events(self, rows: list[tuple[int, list[Any], Any]], running: int, waiting: int) -> None:
        self._running, self._waiting = running, waiting
        for key, tokens, end in rows:
            if (box := self._mailboxes.get(key)) and end != "cancelled":
                box.put(Piece(tuple(LiveToken(*token) for token in tokens), end))

    def _on_end(self) -> None:
        """The process is gone."""
        self._pipe, self._running = None, 0
        _refuse(self._starting, ModelError("the engine ended while it loaded the model; is there memory enough?"))
        _refuse(self._reloading, BackendError("the engine has ended"))
        for box in self._mailboxes.values():
            box.put(BackendError("the engine has ended; the request may be sent again"))
        if not self._is_closing and self._restart_task is None and hasattr(self, "facts"):
            self._restart_task = self._loop.create_task(self._restart())

    async def _restart(self) -> None:
        try:
            while self._pipe is None and not self._is_closing:
                now = time.monotonic()
                self._restarts = [at for at in self._restarts if now - at < _RESTART_WINDOW_SECONDS]
                if len(self._restarts) >= MAX_RESTARTS:
                    _log.error("the engine ended %d times in ten minutes and stays down", MAX_RESTARTS + 1)
                    return
                self._restarts.append(now)
                _log.warning("the engine has ended; it is started again")
                with suppress(ModelError):
                    await self._launch()
        finally:
            self._restart_task = None


def version_of(source: ModelSource) -> str:
    """What the weights of a source are called."""
    return source.checkpoint.name if source.checkpoint is not None else source.name


def _resolve(future: asyncio.Future[Any] | None, value: Any) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _refuse(future: asyncio.Future[Any] | None, error: Exception) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
