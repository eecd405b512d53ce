"""The native engine as a backend: starts its process, sends requests there, hands out what comes back."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from thinkwright.config.serving import ServingEngine
from thinkwright.errors import ThinkwrightError
from thinkwright.pipeline.model_source import ModelSource
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving.ask import BackendError, BadRequest, DeadlinePassed, Overloaded
from thinkwright.serving.engines.backend import Load, Piece
from thinkwright.serving.engines.engine_link import EngineLink
from thinkwright.serving.engines.engine_process import EngineFacts

_log = logging.getLogger(__name__)
RELOAD_SECONDS = 600.0
MAX_RESTARTS = 3
"""In a row, none of them ten minutes apart: then the engine stays down."""
_RESTART_WINDOW_SECONDS = 600.0
_CLOSE_SECONDS = 10.0
_DOWN = "the engine is down; see the server's log"


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
        self, find_source: Callable[[], ModelSource], settings: ServingEngine, head_ids: tuple[int, ...] = ()
    ) -> None:
        """``find_source`` names the newest weights; it is asked at every start and reload.

        ``head_ids``: tokens that most prompts begin with.
        """
        self._find_source, self._settings, self._head_ids = find_source, settings, head_ids
        self.facts: EngineFacts
        self._loop: asyncio.AbstractEventLoop
        # None: it is down.
        self._link: EngineLink | None = None
        self._mailboxes: dict[int, _Mailbox] = {}
        self._keys = itertools.count(1)
        self._running = self._waiting = 0
        self._version = ""
        # Its number, and what is waited for.
        self._reloading: tuple[int, asyncio.Future[None]] | None = None
        self._reload_lock = asyncio.Lock()
        self._restarts: list[float] = []
        self._restart_task: asyncio.Task[None] | None = None
        self._is_closing = False

    @property
    def process_id(self) -> int:
        """Of the engine that runs now."""
        assert self._link is not None, "it is up"
        return self._link.process_id

    async def start(self) -> None:
        """See ``Backend``."""
        self._loop = asyncio.get_running_loop()
        await self._launch()

    def load(self) -> Load:
        """See ``Backend``."""
        waiting = max(0, len(self._mailboxes) - self._running)
        return Load(self._running, waiting, self._link is not None, self._version)

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
        return DeadlinePassed(f"the reply took over {self._settings.deadline_seconds:g} s (--deadline) and was ended")

    async def reload(self) -> str:
        """See ``Backend``."""
        async with self._reload_lock:
            source = await asyncio.to_thread(self._find_source)
            number, reloading = next(self._keys), self._loop.create_future()
            self._reloading = number, reloading
            try:
                self._send(("reload", number, source))
                async with asyncio.timeout(RELOAD_SECONDS):
                    await reloading
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
            await asyncio.wait((self._restart_task,))
        if self._link is not None:
            self._link.send(("close",))
            await self._link.end(_CLOSE_SECONDS)

    def _check_room(self) -> None:
        if self._link is None:
            raise BackendError(_DOWN)
        if len(self._mailboxes) >= self.facts.slots + self._settings.queue:
            raise Overloaded(1 + len(self._mailboxes) // self.facts.slots)

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._link is None:
            raise BackendError(_DOWN)
        self._link.send(message)

    async def _launch(self) -> None:
        source = await asyncio.to_thread(self._find_source)
        link = EngineLink(self._on_message, self._on_end)
        facts = self.facts = await link.launch(source, self._settings, self._head_ids)
        self.context, self.max_prompt_tokens, self.max_tokens = facts.context, facts.max_prompt_tokens, facts.max_tokens
        self._version, self._link = version_of(source), link

    def _on_message(self, link: EngineLink, message: tuple[Any, ...]) -> None:
        if link is not self._link:
            return
        kind, *values = message
        if kind == "events":
            self._on_events(*values)
        elif kind == "refused":
            if box := self._mailboxes.get(values[0]):
                box.put(BadRequest(values[1]))
        elif kind == "reloaded":
            self._end_reload(values[0], None)
        elif kind == "not_reloaded":
            self._end_reload(values[0], BackendError(values[1]))
        elif kind == "failed":
            _log.error("the engine failed: %s", values[0])

    def _on_events(self, rows: list[tuple[int, list[Any], Any]], running: int, waiting: int) -> None:
        self._running, self._waiting = running, waiting
        for key, tokens, end in rows:
            if (box := self._mailboxes.get(key)) and end != "cancelled":
                box.put(Piece(tuple(LiveToken(*token) for token in tokens), end))

    def _end_reload(self, number: int, error: BackendError | None) -> None:
        """One that was given up before is not the one that is waited for."""
        if self._reloading is None or self._reloading[0] != number or self._reloading[1].done():
            return
        if error is None:
            self._reloading[1].set_result(None)
        else:
            self._reloading[1].set_exception(error)

    def _on_end(self, link: EngineLink) -> None:
        """An engine's process is gone. That of one which is only launched is its launch's matter."""
        if link is not self._link:
            return
        self._link, self._running = None, 0
        if self._reloading is not None:
            self._end_reload(self._reloading[0], BackendError("the engine has ended"))
        for box in self._mailboxes.values():
            box.put(BackendError("the engine has ended; the request may be sent again"))
        if not self._is_closing and self._restart_task is None:
            self._restart_task = self._loop.create_task(self._restart())

    async def _restart(self) -> None:
        try:
            while self._link is None and not self._is_closing:
                now = time.monotonic()
                self._restarts = [at for at in self._restarts if now - at < _RESTART_WINDOW_SECONDS]
                if len(self._restarts) >= MAX_RESTARTS:
                    _log.error("the engine ended %d times in ten minutes and stays down", MAX_RESTARTS + 1)
                    return
                self._restarts.append(now)
                _log.warning("the engine has ended; it is started again")
                try:
                    await self._launch()
                except (ThinkwrightError, OSError) as error:
                    _log.error("the engine could not be started again: %s", error)
        finally:
            self._restart_task = None


def version_of(source: ModelSource) -> str:
    """What the weights of a source are called."""
    return source.checkpoint.name if source.checkpoint is not None else source.name
