"""Several engines share the requests of one model; a reply does not depend on which of them makes it."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from thinkwright.config.recipe import Machine
from thinkwright.config.serving import ServingEngine
from thinkwright.pipeline.model_source import find_model
from thinkwright.rollout.live_batch import LiveSettings
from thinkwright.serving.engines.native_backend import NativeBackend
from thinkwright.serving.engines.several_backends import SeveralBackends, shared_settings

SETTINGS = ServingEngine(
    engines=2,
    slots=3,
    queue=5,
    max_prompt_tokens=64,
    max_tokens=256,
    machine=Machine(threads=1, dtype="float32"),
)
LONG = LiveSettings(max_tokens=256, seed=1, ignore_end=True)


def test_slots_and_queue_are_shared() -> None:
    each = shared_settings(SETTINGS)
    assert (each.engines, each.slots, each.queue) == (1, 2, 3)
    assert shared_settings(replace(SETTINGS, slots=None)).slots is None


@pytest.mark.slow
def test_requests_go_where_the_fewest_are_and_say_the_same_there() -> None:
    each = shared_settings(SETTINGS)
    backends = [NativeBackend(lambda: find_model("tiny-base"), each) for _ in range(2)]
    several = SeveralBackends(backends)

    async def tokens() -> list[int]:
        async with aclosing(several.generate((40, 41, 42), LONG, "a")) as pieces:
            return [token.token_id async for piece in pieces for token in piece.tokens]

    async def run() -> None:
        await several.start()
        try:
            assert (several.context, several.max_prompt_tokens, several.max_tokens) == (1024, 64, 256)
            work = [asyncio.create_task(tokens()) for _ in range(4)]
            while several.load().num_running < 4:
                await asyncio.sleep(0.01)
            assert [backend.load().num_running for backend in backends] == [2, 2]
            first, *others = await asyncio.gather(*work)
            assert len(first) == 256
            assert all(other == first for other in others)
            assert await several.reload() == "tiny-base"
            assert several.load().is_up
        finally:
            await several.close()

    asyncio.run(asyncio.wait_for(run(), 120))
