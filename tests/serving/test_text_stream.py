"""A stream ends when its client does not read, and what generates for it ends with it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from thinkwright.serving import text_stream
from thinkwright.serving.text_stream import TextStream

SHORT = 0.02


class Client:
    """One that stays, and reads so many pieces, each after some seconds."""

    def __init__(self, num_read: int, seconds: float = 0.0) -> None:
        self.num_read, self.seconds, self.sent = num_read, seconds, list[bytes]()

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            if len(self.sent) >= self.num_read:
                await asyncio.Event().wait()
            await asyncio.sleep(self.seconds)
            self.sent.append(message["body"])


async def stream_to(client: Client, waits: list[float], ping: str = "") -> bool:
    """Send a piece after each wait; whether the pieces were closed."""
    closed: list[bool] = []

    async def pieces() -> AsyncGenerator[str]:
        try:
            for seconds in waits:
                await asyncio.sleep(seconds)
                yield "x"
        finally:
            closed.append(True)

    async with asyncio.timeout(10):
        await TextStream(pieces(), "text/plain", ping)({}, client.receive, client.send)
    return bool(closed)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "PING_SECONDS", SHORT)
    monkeypatch.setattr(text_stream, "SEND_SECONDS", 5 * SHORT)


@pytest.mark.parametrize("ping", ["", ": ping\n\n"])
def test_a_client_that_does_not_read_is_left(ping: str) -> None:
    client = Client(num_read=2)
    assert asyncio.run(stream_to(client, [0.0] * 5, ping))
    assert client.sent == [b"x", b"x"]


def test_a_ping_that_is_not_read_ends_the_stream() -> None:
    assert asyncio.run(stream_to(Client(num_read=1), [0.0, 3600.0], ": ping\n\n"))


def test_a_client_that_reads_slowly_gets_all_even_after_a_long_silence() -> None:
    client = Client(num_read=100, seconds=2 * SHORT)
    assert asyncio.run(stream_to(client, [0.0, 10 * SHORT, 0.0]))
    assert client.sent == [b"x"] * 3 + [b""]
