"""Several engines of one model as one backend: each request goes to the one that has the fewest.

For small models, whose steps are too short to be divided among threads: two engines of a thread each outrun one of two.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from thinkwright.config.serving import ServingEngine
from thinkwright.rollout.live_batch import LiveSettings
from thinkwright.serving.engines.backend import Load, Piece
from thinkwright.serving.engines.engine_process import EngineFacts
from thinkwright.serving.engines.native_backend import NativeBackend


def shared_settings(settings: ServingEngine) -> ServingEngine:
    """What each of ``settings.engines`` gets of slots and queue."""
    count = settings.engines
    slots = None if settings.slots is None else -(-settings.slots // count)
    return replace(settings, engines=1, slots=slots, queue=-(-settings.queue // count))


class SeveralBackends:
    """See ``Backend``."""

    def __init__(self, backends: Sequence[NativeBackend]) -> None:
        self._backends = tuple(backends)

    @property
    def facts(self) -> EngineFacts:
        """Of any of them: they are alike."""
        return self._backends[0].facts

    @property
    def context(self) -> int:
        """See ``Backend``."""
        return self._backends[0].context

    @property
    def max_prompt_tokens(self) -> int:
        """See ``Backend``."""
        return self._backends[0].max_prompt_tokens

    @property
    def max_tokens(self) -> int:
        """See ``Backend``."""
        return self._backends[0].max_tokens

    async def start(self) -> None:
        """See ``Backend``. One after the other, so that memory is planned with what the others have taken."""
        try:
            for backend in self._backends:
                await backend.start()
        except BaseException:
            await self.close()
            raise

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        """See ``Backend``."""
        loads = [(not load.is_up, load.num_running + load.num_waiting) for load in self._loads()]
        backend = self._backends[loads.index(min(loads))]
        async with aclosing(backend.generate(prompt_ids, settings, name)) as pieces:
            async for piece in pieces:
                yield piece

    def load(self) -> Load:
        """See ``Backend``; up if any is, and of the version that the last one has."""
        loads = self._loads()
        return Load(
            sum(load.num_running for load in loads),
            sum(load.num_waiting for load in loads),
            any(load.is_up for load in loads),
            loads[-1].version,
        )

    async def reload(self) -> str:
        """See ``Backend``; one after the other, so that no more than one model is in memory twice."""
        return [await backend.reload() for backend in self._backends][-1]

    async def close(self) -> None:
        """See ``Backend``."""
        await asyncio.gather(*(backend.close() for backend in self._backends))

    def _loads(self) -> list[Load]:
        return [backend.load() for backend in self._backends]
