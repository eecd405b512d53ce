"""A server that says what it is told to, in the form of ours: what no real model can be made to say."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from thinkwright.serving.page_files import page, page_file
from thinkwright.web import address_of, listen, make_server

Step = tuple[str, str]
"""("thought", text), ("answer", text), ("wait", ""), ("end", reason), ("error", message) or ("break", "")."""
_LOOK_SECONDS = 0.01


class Scripted:
    """What is said to whom, and what was asked."""

    def __init__(self) -> None:
        self.models = ["alpha", "beta"]
        self.scripts: dict[str, list[Step]] = {}
        """By the last question, or by model and question as ``alpha: question``."""
        self.refusals: list[tuple[int, str]] = []
        """Given out one by one before anything else is said."""
        self.vote_refusals: list[int] = []
        self.key: str | None = None
        self.asked: list[dict[str, Any]] = []
        self.votes: list[dict[str, Any]] = []
        self.num_left = 0
        """Requests whose client left before the end."""
        self.piece_bytes: int | None = None
        """Streams come in pieces of this size, wherever that cuts them."""
        self._permits = threading.Semaphore(0)

    def go_on(self, num_waiting: int = 1) -> None:
        """Let streams that wait, or will, go on."""
        self._permits.release(num_waiting)

    def app(self) -> Starlette:
        """The routes that the page uses."""
        return Starlette(
            routes=[
                Route("/", page),
                Route("/page/{file:path}", page_file),
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/votes", self._vote, methods=["POST"]),
            ]
        )

    async def _models(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"data": [{"id": name} for name in self.models]})

    def _refusal(self, request: Request) -> Response | None:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return _error(401, "no key, or a wrong one")
        return None

    async def _chat(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        body = await request.json()
        self.asked.append(body)
        if self.refusals:
            return _error(*self.refusals.pop(0))
        question = body["messages"][-1]["content"]
        script = self.scripts.get(f"{body['model']}: {question}") or self.scripts.get(question)
        return StreamingResponse(
            self._pieces(script or [("thought", f"I think of {question}."), ("answer", f"Reply to {question}.")]),
            media_type="text/event-stream",
        )

    async def _pieces(self, script: list[Step]) -> AsyncIterator[bytes]:
        async for text in self._said(script):
            data = text.encode()
            size = self.piece_bytes or len(data)
            for start in range(0, len(data), size):
                yield data[start : start + size]
                await asyncio.sleep(0)

    async def _said(self, script: list[Step]) -> AsyncIterator[str]:
        counts, end = {"thought": 0, "answer": 0}, "stop"
        yield _chunk({"role": "assistant", "content": ""})
        try:
            for kind, text in script:
                if kind == "wait":
                    while not self._permits.acquire(blocking=False):
                        await asyncio.sleep(_LOOK_SECONDS)
                elif kind == "end":
                    end = text
                elif kind == "error":
                    yield f"data: {json.dumps({'error': {'message': text, 'code': 'backend_error'}})}\n\n"
                    return
                elif kind == "break":
                    return
                else:
                    counts[kind] += len(text.split())
                    yield _chunk(
                        {"content": text} if kind == "answer" else {"reasoning_content": text, "reasoning": text}
                    )
        except asyncio.CancelledError:
            self.num_left += 1
            raise
        yield _chunk({}, end)
        usage = {"prompt_tokens": 9, "completion_tokens": sum(counts.values())}
        usage["completion_tokens_details"] = {"reasoning_tokens": counts["thought"]}
        yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    async def _vote(self, request: Request) -> Response:
        vote = await request.json()
        if self.vote_refusals:
            return _error(self.vote_refusals.pop(0), "the vote could not be kept")
        self.votes.append(vote)
        return JSONResponse({"id": vote["id"]}, 201)


def _chunk(delta: dict[str, str], end: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice], 'usage': None})}\n\n"


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "error", "param": None, "code": "x"}}, status)


@contextlib.contextmanager
def serving_scripts(scripted: Scripted) -> Iterator[str]:
    """Serves in a thread; yields the address."""
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        server = make_server(scripted.app(), grace_seconds=1)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"{address_of(listener)}/"
        finally:
            server.should_exit = True
            thread.join(20)
