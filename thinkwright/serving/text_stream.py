"""A response in pieces, which ends when its client leaves or does not read, and never is silent for long."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING_SECONDS = 15.0
SEND_SECONDS = 60.0
"""A client that takes nothing for so long has as good as left: it would hold its slot for ever."""


@dataclass(slots=True)
class _Sending:
    """What the watcher is told of the pieces; written for each of them, so it is no more than this."""

    task: asyncio.Task[None]
    at: float
    """When the last one was sent."""
    is_waiting: bool = False
    """Whether one is being sent now."""


class TextStream(Response):
    """Leaner than starlette's: one task beside the request's own, whatever the number of pieces."""

    def __init__(self, pieces: AsyncGenerator[str], media_type: str, ping: str) -> None:
        """``pieces`` is closed in any case. ``ping``: what is sent when nothing has been for a while; may be empty."""
        super().__init__(media_type=media_type, headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._pieces, self._ping = pieces, ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.current_task()
        assert sending is not None
        time = asyncio.get_running_loop().time
        state = _Sending(sending, time())
        watching = asyncio.create_task(self._watch(receive, send, state))
        try:
            async for piece in self._pieces:
                state.is_waiting = True
                await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
                state.at, state.is_waiting = time(), False
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not (watching.done() and not watching.cancelled() and watching.result()):
                raise  # not the client's leaving, but the server's end
            sending.uncancel()
        finally:
            watching.cancel()
            await self._pieces.aclose()

    async def _watch(self, receive: Receive, send: Send, state: _Sending) -> bool:
        """Cancels the sending when the client has gone, or does not read; True then."""
        leaving = asyncio.ensure_future(left(receive))
        time = asyncio.get_running_loop().time
        held_at, held_since = -1.0, 0.0  # the piece that was being sent at the last look, and since when it is
        try:
            while True:
                done, _ = await asyncio.wait((leaving,), timeout=PING_SECONDS)
                now = time()
                if not state.is_waiting or state.at != held_at:
                    held_at, held_since = state.at if state.is_waiting else -1.0, now
                if done or (state.is_waiting and now - held_since >= SEND_SECONDS):
                    break
                if self._ping and not state.is_waiting and now - state.at >= PING_SECONDS:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": self._ping.encode(), "more_body": True})
        except TimeoutError:
            pass
        finally:
            leaving.cancel()
        state.task.cancel()
        return True


async def left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
