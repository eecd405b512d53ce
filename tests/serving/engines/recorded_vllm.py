"""A small HTTP server that says what a vLLM server said (``vllm_recording.json``), byte for byte in its streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

RECORDING: dict[str, Any] = json.loads((Path(__file__).parent / "vllm_recording.json").read_text(encoding="utf-8"))
PROMPT_IDS = tuple(RECORDING["prompt_ids"])


def recorded_ids(events: list[str]) -> list[int]:
    """The tokens of a stream."""
    rows = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
    return [token for row in rows for token in row["choices"][0]["token_ids"]]


class RecordedVllm:
    """What it is asked is kept in ``bodies``; the fields say how it misbehaves."""

    def __init__(self, encode: Any) -> None:
        self.encode = encode
        self.address = ""
        self.metrics = RECORDING["metrics"]
        self.bodies: list[dict[str, Any]] = []
        self.num_events: int | None = None
        """So many events are sent; then the connection is cut."""
        self.waits_after: int | None = None
        """After so many events it waits for good."""
        self.together = 1
        """Events that are sent in one piece."""
        self.error_event = ""
        """Sent in place of the last events."""
        self.status = 200
        """Of completions."""
        self.health_status = 200
        self.seed_tokens = [[5, 6], [5, 6]]
        self.knows_token_ids = True
        self.num_left = 0
        """Streams whose reader went away."""
        self.connections: set[Any] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        self.connections.add(asyncio.current_task())
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(line[15:]) for line in head.lower().splitlines() if line[:15] == "content-length:"), 0
                )
                body = json.loads(await reader.readexactly(length)) if length else {}
                await self._route(head.split()[1], body, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _route(
        self, path: str, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if path == "/v1/completions" and body.get("stream"):
            self.bodies.append(body)
            if self.status == 200:
                await self._stream(body, reader, writer)
            else:
                _send(writer, json.dumps(RECORDING["refusal"]), self.status)
        elif path == "/v1/completions":
            tokens = self.seed_tokens.pop(0) if "seed" in body else [1]
            _send(writer, json.dumps({"choices": [{"token_ids": tokens} if self.knows_token_ids else {"text": "a"}]}))
        elif path == "/tokenize":
            _send(writer, json.dumps({"tokens": self.encode(body["prompt"])}))
        elif path == "/health":
            _send(writer, "", self.health_status)
        else:
            _send(writer, {"/v1/models": json.dumps(RECORDING["models"]), "/metrics": self.metrics}[path])

    async def _stream(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_first = tuple(body["prompt"]) == PROMPT_IDS
        events = list(RECORDING["whole"] if is_first else RECORDING["after_budget"])
        if self.error_event:
            events[3:] = [self.error_event]
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        gone = asyncio.ensure_future(_leaving(reader))
        for i in range(0, len(events), self.together):
            if i == self.num_events:
                writer.close()
                return
            if i == self.waits_after:
                await gone
            if gone.done():
                self.num_left += 1
                return
            data = "".join(f"{event}\n\n" for event in events[i : i + self.together]).encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        writer.write(b"0\r\n\r\n")


async def _leaving(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read(1)


def _send(writer: asyncio.StreamWriter, text: str, status: int = 200) -> None:
    data = text.encode()
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)


@asynccontextmanager
async def recorded_vllm(encode: Any) -> AsyncIterator[RecordedVllm]:
    """It runs in the test's own event loop."""
    found = RecordedVllm(encode)
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        try:
            yield found
        finally:
            for task in found.connections:
                task.cancel()
            await asyncio.gather(*found.connections, return_exceptions=True)
