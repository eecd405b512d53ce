"""One engine process, and the two threads that talk with it: neither a full pipe nor a slow one holds the server up."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Self

from thinkwright.config.serving import ServingEngine
from thinkwright.errors import ModelError
from thinkwright.forks import SERVER_ENGINES, forking_context
from thinkwright.pipeline.model_source import ModelSource
from thinkwright.serving.engines.engine_process import EngineFacts, run_engine

START_SECONDS = 600.0
"""Loading a model may take so long."""


class EngineLink:
    """The callbacks run in the event loop and are told which engine spoke: it may be one that was replaced since."""

    def __init__(self, on_message: Callable[[Self, tuple[Any, ...]], None], on_end: Callable[[Self], None]) -> None:
        """``on_message``: what an engine that is ready sends. ``on_end``: its process is gone."""
        self._loop = asyncio.get_running_loop()
        self._on_message, self._on_end = on_message, on_end
        self._ready: asyncio.Future[EngineFacts] = self._loop.create_future()
        self._outbox: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._process: Any = None
        self._spawning: asyncio.Future[None] | None = None
        self.has_ended = False

    @property
    def process_id(self) -> int:
        """Of the engine."""
        return self._process.pid

    async def launch(self, source: ModelSource, settings: ServingEngine, head_ids: tuple[int, ...]) -> EngineFacts:
        """Returns once the model is loaded. Whatever ends this early leaves no process behind.

        Raises ModelError if it cannot be loaded.
        """
        try:
            self._spawning = asyncio.ensure_future(asyncio.to_thread(self._spawn, source, settings, head_ids))
            async with asyncio.timeout(START_SECONDS):
                await asyncio.shield(self._spawning)
                facts = await self._ready
            if self.has_ended:
                raise ModelError("the engine ended as soon as it had loaded the model; is there memory enough?")
            return facts
        except TimeoutError:
            await self.end(0)
            raise ModelError(f"{source.name}: was not loaded within {START_SECONDS:g} s") from None
        except BaseException:
            await self.end(0)
            raise

    def send(self, message: tuple[Any, ...]) -> None:
        """In order; returns at once. To an engine that is gone nothing is sent: ``on_end`` tells of that."""
        self._outbox.put(message)

    async def end(self, seconds: float) -> None:
        """Wait so long for the process to end by itself, then end it."""
        if self._spawning is not None:
            await asyncio.wait((self._spawning,))
        if self._process is None or self._process.pid is None:
            return
        if seconds:
            await asyncio.to_thread(self._process.join, seconds)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join)

    def _spawn(self, source: ModelSource, settings: ServingEngine, head_ids: tuple[int, ...]) -> None:
        context = forking_context(SERVER_ENGINES)
        pipe, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(target=run_engine, args=(theirs, source, settings, head_ids), daemon=True)
            try:
                self._process.start()
            except EOFError as error:
                pipe.close()
                raise ModelError("the process that starts engines has ended; is there memory enough?") from error
        writer = threading.Thread(target=self._write, args=(pipe,), daemon=True)
        writer.start()
        threading.Thread(target=self._read, args=(pipe, writer), daemon=True).start()

    def _write(self, pipe: Any) -> None:
        with suppress(OSError):  # the engine is gone, which the reader says
            while (message := self._outbox.get()) is not None:
                pipe.send(message)

    def _read(self, pipe: Any, writer: threading.Thread) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            try:
                while True:
                    self._loop.call_soon_threadsafe(self._take, pipe.recv())
            except (EOFError, OSError):
                self._loop.call_soon_threadsafe(self._take_end)
        self._outbox.put(None)
        writer.join()
        pipe.close()

    def _take(self, message: tuple[Any, ...]) -> None:
        kind, *values = message
        if kind == "ready":
            self._settle(values[0])
        elif kind == "failed" and not self._ready.done():
            self._settle(ModelError(values[0]))
        else:
            self._on_message(self, message)

    def _take_end(self) -> None:
        self.has_ended = True
        self._settle(ModelError("the engine ended while it loaded the model; is there memory enough?"))
        self._on_end(self)

    def _settle(self, found: EngineFacts | ModelError) -> None:
        """Once: what comes after the first is passed over."""
        if self._ready.done():
            return
        if isinstance(found, ModelError):
            self._ready.set_exception(found)
            self._ready.exception()  # the launch may have been given up: nobody waits for it
        else:
            self._ready.set_result(found)
