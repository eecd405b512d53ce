"""The endpoint with models that do what the test says: what it waits for, what it says when something fails."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from tests.serving.apis.told import MESSAGES, SilentBackend, tiny_desk
from thinkwright.config.serving import ServeSettings
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving import app as app_module
from thinkwright.serving.app import Room, make_app
from thinkwright.serving.ask import BackendError, DeadlinePassed
from thinkwright.serving.engines.backend import Piece
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.serving.votes import VoteStore

CHAT = {"model": "tiny-base", "messages": MESSAGES}


class SayingBackend(SilentBackend):
    """A ``Backend`` that says texts one after the other; it raises what is an error and waits for what is an event."""

    def __init__(self, *said: str | Exception | asyncio.Event) -> None:
        self.said, self.is_closed = said, False

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        try:
            for one in self.said:
                if isinstance(one, Exception):
                    raise one
                if isinstance(one, asyncio.Event):
                    await one.wait()
                    continue
                for token_id in tiny_desk().prompter.encode(one):
                    yield Piece((LiveToken(token_id, -0.5, ()),), None)
            yield Piece((), "stop")
        finally:
            self.is_closed = True


def app_of(backend: SilentBackend, store: VoteStore, **settings: Any) -> Starlette:
    """The server of one model."""
    desk = replace(tiny_desk(), backend=backend)
    room = Room({desk.name: desk}, ServeSettings(("tiny-base",), **settings), ServingMetrics({desk.name: desk}), store)
    return make_app(room, is_loopback=True)


@asynccontextmanager
async def asking(backend: SilentBackend, folder: Path, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the app itself, without a network."""
    with closing(VoteStore(folder / "votes.sqlite")) as store:
        transport = httpx2.ASGITransport(app_of(backend, store, **settings))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield client


class SendingApp:
    """The app below HTTP, so that a test sees what it sends when, and can leave."""

    def __init__(self, backend: SilentBackend, folder: Path) -> None:
        self._backend, self._folder = backend, folder
        self.has_begun, self.has_left = asyncio.Event(), asyncio.Event()
        self.status, self.body = 0, b""

    async def post(self, body: dict[str, Any]) -> None:
        """One chat request."""
        come = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

        async def receive() -> Any:
            if come:
                return come.pop()
            await self.has_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.status = message.get("status", self.status)
            self.body += message.get("body", b"")
            self.has_begun.set()

        path = "/v1/chat/completions"
        scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"127.0.0.1")]}
        with closing(VoteStore(self._folder / "votes.sqlite")) as store:
            await app_of(self._backend, store)(scope | {"query_string": b"", "root_path": ""}, receive, send)


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


def post(backend: SilentBackend, folder: Path, path: str = "/v1/chat/completions", **body: Any) -> httpx2.Response:
    """One request."""

    async def run() -> httpx2.Response:
        async with asking(backend, folder) as client:
            return await client.post(path, json=CHAT | body)

    return asyncio.run(run())


def test_a_deadline_is_nothing_to_try_again(tmp_path: Path) -> None:
    found = post(SayingBackend(DeadlinePassed("took over 5 s")), tmp_path)
    assert (found.status_code, found.headers["x-should-retry"]) == (504, "false")
    assert found.json()["error"]["code"] == "deadline_passed"
    assert "x-should-retry" not in post(SayingBackend(BackendError("it ended")), tmp_path).headers


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
def test_a_mistake_of_ours_is_told_and_logged(
    path: str, is_stream: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = post(SayingBackend("a b c", RuntimeError("secret")), tmp_path, path, stream=is_stream)
    assert found.status_code == (200 if is_stream else 500)
    last = found.text.strip().splitlines()[-1].removeprefix("data: ")
    assert "see its log" in str(json.loads(last)["error"])
    assert "secret" not in found.text
    assert "secret" in caplog.text


def test_a_stream_that_is_long_in_coming_begins_without_its_first_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "FIRST_SECONDS", 0.01)

    async def run() -> tuple[str, str]:
        told: list[str] = []
        for said in (("4",), (DeadlinePassed("took too long"),)):
            may_go_on = asyncio.Event()
            app = SendingApp(SayingBackend(may_go_on, *said), tmp_path)
            asked = asyncio.create_task(app.post(CHAT | {"stream": True}))
            await app.has_begun.wait()
            assert app.status == 200
            assert not app.body
            may_go_on.set()
            await asked
            told.append(app.body.decode())
        return told[0], told[1]

    whole, failed = asyncio.run(asyncio.wait_for(run(), 30))
    assert '"content":"4"' in whole
    assert whole.endswith("data: [DONE]\n\n")
    assert "deadline_passed" in failed


def test_a_client_that_leaves_a_stream_before_its_first_part_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "FIRST_SECONDS", 0.01)

    async def run() -> bool:
        backend = SayingBackend(asyncio.Event())
        app = SendingApp(backend, tmp_path)
        asked = asyncio.create_task(app.post(CHAT | {"stream": True}))
        await app.has_begun.wait()
        app.has_left.set()
        await asked
        return backend.is_closed

    assert asyncio.run(asyncio.wait_for(run(), 30))


def test_an_error_within_a_responses_stream_is_numbered_on(tmp_path: Path) -> None:
    backend = SayingBackend("a b c", BackendError("it ended"))
    found = post(backend, tmp_path, "/v1/responses", input="q", stream=True)
    rows = [json.loads(line.removeprefix("data: ")) for line in found.text.splitlines() if line.startswith("data: ")]
    assert rows[-1]["type"] == "error"
    assert [row["sequence_number"] for row in rows] == list(range(len(rows)))


def test_strangers_are_told_of_the_servers_health_alone(tmp_path: Path) -> None:
    async def run() -> list[set[str]]:
        async with asking(SayingBackend(), tmp_path, api_key="secret") as client:
            key = {"authorization": "Bearer secret"}
            return [set((await client.get("/health", headers=headers)).json()) for headers in ({}, key)]

    assert asyncio.run(run()) == [{"status"}, {"status", "models"}]


def test_what_is_asked_and_replied_is_logged_only_if_told_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = list(tiny_desk().prompter.encode("What a question"))

    async def run(**settings: Any) -> str:
        caplog.clear()
        async with asking(SayingBackend("a reply"), tmp_path, **settings) as client:
            await client.post("/v1/completions", json={"model": "tiny-base", "prompt": ids})
        return caplog.text

    with caplog.at_level(logging.INFO, logger=app_module.__name__):
        assert "question" not in asyncio.run(run())
        logged = asyncio.run(run(log_prompts=True))
    assert "What a question" in logged
    assert "a reply" in logged


def test_requests_are_counted_by_path_and_broken_replies_by_model(tmp_path: Path) -> None:
    async def run() -> str:
        async with asking(SayingBackend("a", BackendError("it ended")), tmp_path, api_key="secret") as client:
            key = {"authorization": "Bearer secret"}
            await client.post("/v1/chat/completions", json=CHAT)
            await client.post("/v1/chat/completions", json=CHAT | {"stream": True}, headers=key)
            await client.get("/v1/models", headers=key)
            await client.get("/nowhere", headers=key)
            return (await client.get("/metrics", headers=key)).text

    page = asyncio.run(run())
    for path, status in (("/v1/chat/completions", 401), ("/v1/chat/completions", 200), ("/v1/models", 200)):
        assert f'thinkwright_requests_total{{path="{path}",status="{status}"}} 1.0' in page
    assert 'thinkwright_requests_total{path="other",status="404"} 1.0' in page
    assert 'thinkwright_failed_replies_total{model="tiny-base"} 1.0' in page
