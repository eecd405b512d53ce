"""The endpoint with models that do what the test says: what it waits for, what it says when something fails."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.serving.apis.told import MESSAGES, SilentBackend, tiny_desk
from thinkwright.config.serving import ServeSettings
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving import app as app_module
from thinkwright.serving.app import Room, make_app
from thinkwright.serving.engines.backend import Piece
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.serving.votes import VoteStore

CHAT = {"model": "tiny-base", "messages": MESSAGES}


class SayingBackend(SilentBackend):
    """A ``Backend`` that says texts one after the other; it raises what is an error and waits for what is an event."""

    def __init__(self, *said: str | Exception | asyncio.Event) -> None:
        self.said = said

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        for one in self.said:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, asyncio.Event):
                await one.wait()
                continue
            for token_id in tiny_desk().prompter.encode(one):
                yield Piece((LiveToken(token_id, -0.5, ()),), None)
        yield Piece((), "stop")


@asynccontextmanager
async def asking(backend: SilentBackend, folder: Path, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the app itself, without a network."""
    store = VoteStore(folder / "votes.sqlite")
    desk = replace(tiny_desk(), backend=backend)
    room = Room({desk.name: desk}, ServeSettings(("tiny-base",), **settings), ServingMetrics({desk.name: desk}), store)
    transport = httpx2.ASGITransport(make_app(room, is_loopback=True))
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield client
    finally:
        store.close()


def test_long_texts_are_encoded_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    prepare = app_module.prepare

    def noting(*given: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return prepare(*given)

    monkeypatch.setattr(app_module, "prepare", noting)

    async def run() -> list[int]:
        async with asking(SayingBackend("4"), tmp_path) as client:
            long = [{"role": "user", "content": " a" * app_module.LONG_CHARACTERS}]
            return [
                (await client.post("/v1/chat/completions", json={**CHAT, "messages": messages})).status_code
                for messages in (MESSAGES, long)
            ]

    assert asyncio.run(run()) == [200, 400]
    assert threads == [True, False]
