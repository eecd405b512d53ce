"""64 clients in one light process: ``python -m bench.serve_client PLAN OUT``; the same for every server.

Each client asks, reads the reply's stream to its end, and asks its next question, without a pause. What was read is
looked at once a reply is whole: until then only the first token is looked for. The plan (JSON) names the server's
address and the questions; the results (JSON) have counts and times. ``begin`` and ``end`` are printed when the seconds
that count begin and end.
"""

import asyncio
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Both names of the thought are written by some servers; one of them is enough.
_TEXT = re.compile(rb'"(content|reasoning_content)": ?"((?:[^"\\]|\\.)+)"')
_OTHER_NAME = re.compile(rb'"(content|reasoning)": ?"((?:[^"\\]|\\.)+)"')
_COMPLETION_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
_NUM_HEADER_BYTES = 64 << 10


@dataclass
class Tally:
    """What the clients have seen since the warm-up."""

    first_token_seconds: list[float] = field(default_factory=list)
    num_tokens: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Replies: ``right``, ``other`` (than expected, and nobody's), ``mixed_up`` (another question's), ``error``."""
    examples: list[str] = field(default_factory=list)


def request_bytes(address: str, model: str, question: str, max_tokens: int) -> bytes:
    """A streamed chat completion, likeliest tokens only."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    data = json.dumps(body, ensure_ascii=False).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(address).netloc}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Connection:
    """One client's connection, kept from reply to reply."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[bytes, float]:
        """The reply's events and the seconds to its first text. Raises OSError for anything but a whole reply."""
        start = time.perf_counter()
        try:
            head = await self._send(request)
            if b" 200 " not in head.partition(b"\r\n")[0] or b"chunked" not in head.lower():
                raise OSError(f"no stream, but {head[:300]!r}")
            assert self._streams is not None
            found = await _read_chunks(self._streams[0], start)
            if b"connection: close" in head.lower():
                self._close()
            return found
        except BaseException as error:
            self._close()
            if isinstance(error, (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)):
                raise OSError(f"the reply broke off ({error})") from error
            raise

    async def _send(self, request: bytes) -> bytes:
        """The head of the reply. A server may have closed a connection that was kept: then once more on a new one."""
        if self._streams is not None:
            reader, writer = self._streams
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                writer.write(request)
                return await reader.readuntil(b"\r\n\r\n")
            self._close()
        self._streams = reader, writer = await asyncio.open_connection(
            self._address.hostname, self._address.port, limit=_NUM_HEADER_BYTES
        )
        writer.write(request)
        return await reader.readuntil(b"\r\n\r\n")

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_chunks(reader: asyncio.StreamReader, start: float) -> tuple[bytes, float]:
    chunks: list[bytes] = []
    first_text = 0.0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunk = await reader.readexactly(size + 2)
        chunks.append(chunk[:-2])
        if not first_text and (_TEXT.search(chunk) or _OTHER_NAME.search(chunk)):
            first_text = time.perf_counter() - start
    await reader.readexactly(2)
    return b"".join(chunks), first_text


def read_reply(events: bytes) -> tuple[str, str, int]:
    """Thought, answer and tokens of a whole stream. Raises OSError if it is not whole."""
    if not events.rstrip().endswith(b"data: [DONE]"):
        raise OSError(f"the stream is not whole: {events[-300:]!r}")
    pattern = _TEXT if b'"reasoning_content"' in events else _OTHER_NAME
    texts: dict[bytes, list[bytes]] = {}
    for name, text in pattern.findall(events):
        texts.setdefault(b"answer" if name == b"content" else b"thought", []).append(text)
    thought, answer = (json.loads(b'"' + b"".join(texts.get(kind, [])) + b'"') for kind in (b"thought", b"answer"))
    counts = _COMPLETION_TOKENS.findall(events)
    if not counts:
        raise OSError(f"the stream has no usage: {events[-300:]!r}")
    return thought, answer, int(counts[-1])


async def learn(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Each question asked alone: what it is answered, by which later replies are judged."""
    connection, found = Connection(plan["address"]), []
    for question in plan["questions"]:
        request = request_bytes(plan["address"], plan["model"], question, plan["max_tokens"])
        thought, answer, num_tokens = read_reply((await connection.ask(request))[0])
        found.append({"thought": thought, "answer": answer, "tokens": num_tokens})
    return found


async def load(plan: dict[str, Any], expected: list[dict[str, Any]]) -> dict[str, Any]:
    """All clients at once, for the warm-up and the seconds that count."""
    tally = Tally()
    # Two questions may have the same reply.
    by_text: dict[tuple[str, str], set[int]] = {}
    for number, row in enumerate(expected):
        by_text.setdefault((row["thought"], row["answer"]), set()).add(number)
    requests = [
        request_bytes(plan["address"], plan["model"], question, plan["max_tokens"]) for question in plan["questions"]
    ]
    begin = time.perf_counter() + plan["warmup_seconds"]
    end = begin + plan["seconds"]

    async def client(number: int) -> None:
        connection, order = Connection(plan["address"]), random.Random(number)
        while time.perf_counter() < end:
            i = order.randrange(len(requests))
            try:
                events, first_text = await connection.ask(requests[i])
                thought, answer, num_tokens = read_reply(events)
                fitting = by_text.get((thought, answer), set())
                kind = "right" if i in fitting else "mixed_up" if fitting else "other"
            except OSError as error:
                kind, num_tokens, first_text = "error", 0, 0.0
                thought, answer = "", str(error)
                await asyncio.sleep(0.1)
            if begin <= time.perf_counter() < end:
                tally.kinds[kind] += 1
                tally.num_tokens += num_tokens
                if first_text:
                    tally.first_token_seconds.append(first_text)
                if kind != "right" and len(tally.examples) < 20:
                    tally.examples.append(f"{kind}: {plan['questions'][i]!r} -> {thought!r} {answer!r}")

    clients = [asyncio.create_task(client(number)) for number in range(plan["clients"])]
    await asyncio.sleep(begin - time.perf_counter())
    print("begin", flush=True)
    cpu_before = time.process_time()
    await asyncio.sleep(end - time.perf_counter())
    cpu_after = time.process_time()
    print("end", flush=True)
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return {
        "kinds": dict(tally.kinds),
        "tokens": tally.num_tokens,
        "first_token_seconds": tally.first_token_seconds,
        "client_core_share": (cpu_after - cpu_before) / plan["seconds"],
        "client_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "examples": tally.examples,
    }


async def _run(plan: dict[str, Any]) -> dict[str, Any]:
    expected = await learn(plan)
    return {"expected": expected, **await load(plan, expected)}


def main() -> None:
    """Read the plan, be the clients, write what they saw."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(_run(plan)), ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
