"""The engine's process: requests share it, leave it, survive a reload, and fail plainly when it dies."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.serving.engines.dying_engine import run_and_die
from thinkwright.config.recipe import Machine
from thinkwright.config.serving import ServingEngine
from thinkwright.errors import ModelError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.model_source import ModelSource, find_model
from thinkwright.rollout.live_batch import LiveSettings
from thinkwright.serving.ask import BackendError, BadRequest, Overloaded
from thinkwright.serving.engines import engine_link, native_backend
from thinkwright.serving.engines.backend import Piece
from thinkwright.serving.engines.native_backend import NativeBackend

SETTINGS = ServingEngine(
    slots=2, queue=1, max_prompt_tokens=64, max_tokens=512, machine=Machine(threads=1, dtype="float32")
)
PROMPT = tuple(range(40, 60))
LONG = LiveSettings(max_tokens=512, seed=1, ignore_end=True)
SHORT = replace(LONG, max_tokens=5)
SECONDS = 60.0


class Engine:
    """A backend and its event loop."""

    def __init__(self, source: ModelSource, settings: ServingEngine = SETTINGS) -> None:
        self.source = source
        self.runner = asyncio.Runner()
        self.backend = NativeBackend(lambda: self.source, settings)
        try:
            self.runner.run(self.backend.start())
        except ModelError:
            self.runner.close()
            raise

    def close(self) -> None:
        self.runner.run(self.backend.close())
        self.runner.close()

    def tokens(self, settings: LiveSettings = SHORT, name: str = "choice/0") -> list[int]:
        return self.runner.run(collect(self.backend, settings, name))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(find_model("tiny-base"))
    yield engine
    engine.close()


async def collect(backend: NativeBackend, settings: LiveSettings, name: str = "choice/0") -> list[int]:
    async with asyncio.timeout(SECONDS):
        async with aclosing(backend.generate(PROMPT, settings, name)) as pieces:
            return [token.token_id async for piece in pieces for token in piece.tokens]


async def begun(backend: NativeBackend, count: int) -> list[object]:
    """So many long requests, each with its first piece."""
    found = [backend.generate(PROMPT, replace(LONG, seed=i), "choice/0") for i in range(count)]
    for pieces in found:
        assert isinstance(await anext(pieces), Piece)
    return list(found)


async def drained(pieces: object) -> None:
    async for _ in pieces:  # type: ignore[attr-defined]
        pass


async def until(backend: NativeBackend, running: int, waiting: int) -> None:
    async with asyncio.timeout(SECONDS):
        while (load := backend.load()) and (load.num_running, load.num_waiting) != (running, waiting):
            await asyncio.sleep(0.01)


def test_a_reply_depends_on_its_seed_and_not_on_its_company(engine: Engine) -> None:
    alone = engine.tokens(replace(SHORT, seed=7))

    async def together() -> list[list[int]]:
        work = [collect(engine.backend, replace(SHORT, seed=seed)) for seed in (7, 8, 7)]
        return list(await asyncio.gather(*work))

    first, other, again = engine.runner.run(together())
    assert first == again == alone
    assert other != alone
    assert len(alone) == 5


def test_a_client_that_leaves_frees_its_slot(engine: Engine) -> None:
    async def leave() -> None:
        requests = await begun(engine.backend, 2)
        await until(engine.backend, 2, 0)
        for pieces in requests:
            await pieces.aclose()  # type: ignore[attr-defined]
        # Long before they would have ended by themselves.
        assert len(await collect(engine.backend, SHORT)) == 5
        await until(engine.backend, 0, 0)

    engine.runner.run(leave())


def test_a_full_queue_refuses_with_a_time_to_come_back(engine: Engine) -> None:
    async def fill() -> None:
        running = await begun(engine.backend, 2)
        waiting = asyncio.create_task(collect(engine.backend, SHORT))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await collect(engine.backend, SHORT)
        assert refused.value.retry_after_seconds >= 1
        for pieces in running:
            await pieces.aclose()  # type: ignore[attr-defined]
        assert len(await waiting) == 5

    engine.runner.run(fill())


def test_what_cannot_be_is_refused_and_harms_nobody(engine: Engine) -> None:
    async def refused() -> None:
        with pytest.raises(BadRequest, match="more than the 64 that are planned for"):
            await anext(engine.backend.generate(tuple(range(100)), SHORT, "choice/0"))

    engine.runner.run(refused())
    assert len(engine.tokens()) == 5


def test_new_weights_are_taken_while_a_request_runs(engine: Engine, tmp_path: Path) -> None:
    policy = load_policy(resolve_model_name("tiny-base"), device=torch.device("cpu"), dtype=torch.float32)
    before = engine.tokens(replace(SHORT, temperature=0))
    with torch.no_grad():
        for param in policy.model.parameters():
            param.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    policy.save(tmp_path / "changed")

    async def reload() -> list[int]:
        running = asyncio.create_task(collect(engine.backend, LONG))
        await until(engine.backend, 1, 0)
        engine.source = find_model(str(tmp_path / "changed"))
        assert await engine.backend.reload() == "changed"
        return await running

    try:
        assert len(engine.runner.run(reload())) == 512
        assert engine.tokens(replace(SHORT, temperature=0)) != before
        engine.source = find_model("tiny-base-small")
        with pytest.raises(BackendError, match="other shapes"):
            engine.runner.run(engine.backend.reload())
    finally:
        engine.source = find_model("tiny-base")
        engine.runner.run(engine.backend.reload())
    assert engine.tokens(replace(SHORT, temperature=0)) == before


def test_requests_go_on_while_new_weights_are_loaded(engine: Engine) -> None:
    async def count() -> int:
        async with aclosing(engine.backend.generate(PROMPT, LONG, "choice/0")) as pieces:
            await anext(pieces)
            reloading = asyncio.create_task(engine.backend.reload())
            await asyncio.sleep(0)
            found = 0
            async for _ in pieces:
                found += not reloading.done()
        await reloading
        return found

    assert engine.runner.run(count()) > 4


def test_an_engine_that_takes_no_messages_holds_nobody_up(engine: Engine) -> None:
    async def longest_pause() -> float:
        os.kill(engine.backend.process_id, signal.SIGSTOP)
        # Else the test would never end where the server waits for the engine.
        threading.Timer(4, os.kill, (engine.backend.process_id, signal.SIGCONT)).start()
        large = asyncio.create_task(anext(engine.backend.generate(tuple(range(500_000)), SHORT, "choice/0")))
        began = time.monotonic()
        await asyncio.sleep(0.1)
        pause = time.monotonic() - began
        with pytest.raises(BadRequest, match="has 500000 tokens"):
            await large
        return pause

    assert engine.runner.run(longest_pause()) < 2


def test_what_comes_of_a_reload_that_was_given_up_is_not_taken_for_the_next_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reload_twice() -> str:
        engine.source = find_model("tiny-base-small")
        with monkeypatch.context() as patch:
            patch.setattr(native_backend, "RELOAD_SECONDS", 0.0)
            with pytest.raises(BackendError, match="did not load tiny-base-small"):
                await engine.backend.reload()
        engine.source = find_model("tiny-base")
        return await engine.backend.reload()

    assert engine.runner.run(reload_twice()) == "tiny-base"


def test_a_start_that_is_given_up_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(multiprocessing.active_children())

    async def cancelled() -> None:
        backend = NativeBackend(lambda: find_model("tiny-base"), SETTINGS)
        starting = asyncio.create_task(backend.start())
        async with asyncio.timeout(SECONDS):
            while set(multiprocessing.active_children()) == before:
                await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.wait((starting,))
        assert set(multiprocessing.active_children()) == before

    asyncio.run(cancelled())
    monkeypatch.setattr(engine_link, "START_SECONDS", 0.05)
    with pytest.raises(ModelError, match="was not loaded within"):
        Engine(find_model("tiny-base"))
    assert set(multiprocessing.active_children()) == before


@pytest.mark.slow
def test_an_engine_that_ends_as_soon_as_it_is_ready_is_not_taken_for_one_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_link, "run_engine", run_and_die)
    before = set(multiprocessing.active_children())

    async def start() -> None:
        backend = NativeBackend(lambda: find_model("tiny-base"), SETTINGS)
        starting = asyncio.create_task(backend.start())
        async with asyncio.timeout(SECONDS):
            while not (begun := set(multiprocessing.active_children()) - before):
                await asyncio.sleep(0)
        # A busy event loop, which hears of both at once.
        for process in begun:
            process.join()
        time.sleep(0.2)
        await starting

    with pytest.raises(ModelError, match="ended as soon as it had loaded"):
        asyncio.run(start())


def test_an_engine_that_dies_fails_what_ran_and_comes_back(engine: Engine) -> None:
    async def die() -> None:
        (pieces,) = await begun(engine.backend, 1)
        os.kill(engine.backend.process_id, signal.SIGKILL)
        with pytest.raises(BackendError, match="has ended"):
            await drained(pieces)
        assert not engine.backend.load().is_up
        with pytest.raises(BackendError, match="down"):
            await collect(engine.backend, SHORT)
        async with asyncio.timeout(SECONDS):
            while not engine.backend.load().is_up:
                await asyncio.sleep(0.1)

    expected = engine.tokens()
    engine.runner.run(die())
    assert engine.tokens() == expected


def test_a_reply_past_its_deadline_is_ended() -> None:
    engine = Engine(find_model("tiny-base"), replace(SETTINGS, deadline_seconds=0.05))
    try:
        with pytest.raises(BackendError, match="--deadline"):
            engine.tokens(LONG)
        engine.runner.run(until(engine.backend, 0, 0))
    finally:
        engine.close()


def test_a_model_that_does_not_fit_says_so_at_the_start() -> None:
    with pytest.raises(ModelError, match="--max-prompt-tokens 5000 leaves no room"):
        Engine(find_model("tiny-base"), replace(SETTINGS, max_prompt_tokens=5000))
