"""The server's routes. One endpoint serves every API: body -> Dialect.read -> prepare -> reply_parts -> Dialect."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from thinkwright.config.serving import ServeSettings
from thinkwright.serving.apis import model_lists
from thinkwright.serving.apis.bodies import MAX_CHOICES
from thinkwright.serving.apis.dialect import Dialect, Told, Wanted, gather
from thinkwright.serving.apis.ollama_chat import OLLAMA_CHAT
from thinkwright.serving.apis.ollama_generate import OLLAMA_GENERATE
from thinkwright.serving.apis.openai_chat import OpenAiChat
from thinkwright.serving.apis.openai_completions import OpenAiCompletions
from thinkwright.serving.apis.openai_responses import OpenAiResponses
from thinkwright.serving.apis.openapi import describe
from thinkwright.serving.ask import Ask, BackendError, BadRequest, DeadlinePassed, Overloaded, Part
from thinkwright.serving.guard import Guard, TooLarge, TooSlow, body_of, too_large, too_slow
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.serving.page_files import page, page_file
from thinkwright.serving.reply import ModelDesk, Prepared, prepare, reply_parts
from thinkwright.serving.text_stream import PING_SECONDS, TextStream, left
from thinkwright.serving.votes import VoteStore, get_votes, post_vote

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
DIALECTS: tuple[Dialect, ...] = (
    OpenAiChat(),
    OpenAiCompletions(),
    OpenAiResponses(),
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
)
LONG_CHARACTERS = 16_384
"""Encoding so many takes about as long as a few steps of a small model."""
FIRST_SECONDS = PING_SECONDS
"""A stream waits so long for its first part, then begins without it."""
_FAULT = "the server has made a mistake; see its log"
_CLIENT_LEFT = 499
"""As nginx logs it; nobody reads it."""


@dataclass(frozen=True)
class Room:
    """What every request needs."""

    desks: dict[str, ModelDesk]
    settings: ServeSettings
    metrics: ServingMetrics
    votes: VoteStore
    encoding: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a long prompt is encoded: one at a time, for others need the processor."""

    def desk(self, name: str) -> ModelDesk:
        """The model of a name, with or without Ollama's ``:latest``. Raises BadRequest if there is none."""
        desk = self.desks.get(name) or self.desks.get(name.removesuffix(":latest"))
        if desk is None:
            known = ", ".join(self.desks)
            raise BadRequest(f"there is no model {name[:200]!r}, only {known}", code="model_not_found", status=404)
        return desk


def make_app(room: Room, *, is_loopback: bool) -> Starlette:
    """The server of some models, whose backends run already."""
    settings = room.settings
    routes = [Route(dialect.path, _endpoint(room, dialect), methods=["POST"]) for dialect in DIALECTS]
    routes += [
        Route("/", page),
        Route("/page/{file:path}", page_file),
        Route("/v1/models", _of_models(room, model_lists.openai_models)),
        Route("/v1/models/{name:path}", _of_model(room, model_lists.openai_model)),
        Route("/api/tags", _of_models(room, model_lists.ollama_tags)),
        Route("/api/version", _of_models(room, model_lists.ollama_version)),
        Route("/api/show", _show(room), methods=["POST"]),
        Route("/health", _health(room)),
        Route("/metrics", lambda request: Response(room.metrics.page(), media_type="text/plain; version=0.0.4")),
        Route("/openapi.json", lambda request: JSONResponse(describe(DIALECTS, list(room.desks)))),
        Route("/votes", _voting(room, get_votes), methods=["GET"]),
        Route("/votes", _voting(room, post_vote), methods=["POST"]),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
    ]
    guard = Middleware(
        Guard,
        metrics=room.metrics,
        api_key=settings.api_key,
        is_loopback=is_loopback,
        max_body_bytes=settings.max_body_bytes,
        names=settings.names,
        paths=[route.path for route in routes if "{" not in route.path],
    )
    return Starlette(routes=routes, middleware=[guard], exception_handlers=_refusals(settings))


Endpoint = Callable[[Request], Awaitable[Response]]


def _endpoint(room: Room, dialect: Dialect) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        started = time.monotonic()
        try:
            told = await _understood(room, dialect, request, started)
            if not told.prepared:
                return JSONResponse(dialect.whole(told, []))
            parts = room.metrics.counted(
                told.desk.name, told.num_prompt_tokens, reply_parts(told.desk, told.prepared), started
            )
            if room.settings.log_prompts:
                parts = _logged(told, parts)
            if told.wanted.is_stream:
                return await _streamed(dialect, told, parts, request)
            return await _whole(dialect, told, parts, request)
        except (BadRequest, Overloaded, BackendError) as error:
            return _failed(dialect, error)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_LEFT)
        except (TooLarge, TooSlow):
            raise  # the guard's, which has an answer for them
        except Exception:
            _log.exception("%s failed", dialect.path)
            return JSONResponse(dialect.error(500, _FAULT, "internal_error"), 500)

    return endpoint


async def _understood(room: Room, dialect: Dialect, request: Request, started: float) -> Told:
    """Raises BadRequest for what cannot be read or done."""
    try:
        body = dialect.body.model_validate(body_of(await request.body()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise BadRequest(f"{place}: {first['msg']}") from error
    except ValueError as error:
        raise BadRequest(f"the body is no JSON object that can be read ({error})") from error
    wanted = dialect.read(body)
    desk = _checked_desk(room, wanted)
    return Told(desk, wanted, [await _prepared(room, desk, ask) for ask in wanted.asks], started)


async def _prepared(room: Room, desk: ModelDesk, ask: Ask) -> Prepared:
    """A long text is encoded beside the event loop, which all streams go through."""
    if ask.num_characters <= LONG_CHARACTERS:
        return prepare(desk, ask)
    async with room.encoding:
        return await asyncio.to_thread(prepare, desk, ask)


def _checked_desk(room: Room, wanted: Wanted) -> ModelDesk:
    num_choices = sum(ask.sampling.num_choices for ask in wanted.asks)
    if num_choices > MAX_CHOICES:  # several prompts with several replies each
        raise BadRequest(f"{num_choices} replies are more than the {MAX_CHOICES} of one request; ask for fewer")
    return room.desk(wanted.model)


async def _whole(dialect: Dialect, told: Told, parts: AsyncGenerator[Part], request: Request) -> Response:
    """The reply in one piece."""
    choices = await _unless_left(request, parts, gather(parts, told.num_choices))
    return JSONResponse(dialect.whole(told, choices))


async def _streamed(dialect: Dialect, told: Told, parts: AsyncGenerator[Part], request: Request) -> Response:
    """A stream, once its first part is there: until then a failure has a status of its own.

    If it is long in coming (the request waits for a slot, or the thought is not shown) the stream begins without it:
    proxies cut connections that are silent for a minute.
    """
    first = asyncio.ensure_future(anext(parts))
    await _unless_left(request, parts, asyncio.wait((first,), timeout=FIRST_SECONDS), first)
    if first.done():
        first.result()
    is_sse = dialect.stream_type == "text/event-stream"
    return TextStream(_sent(dialect, told, first, parts), dialect.stream_type, ": ping\n\n" if is_sse else "")


async def _unless_left(
    request: Request, parts: AsyncGenerator[Part], work: Awaitable[_T], *beside: asyncio.Future[Any]
) -> _T:
    """What the work comes to. Ends it, and what runs beside it, and raises ClientDisconnect if the client leaves."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        leaving.cancel()
        if not working.done():
            for one in (working, *beside):
                one.cancel()
            await asyncio.gather(working, *beside, return_exceptions=True)
            await parts.aclose()


async def _sent(
    dialect: Dialect, told: Told, first: asyncio.Future[Part], parts: AsyncGenerator[Part]
) -> AsyncGenerator[str]:
    async def all_parts() -> AsyncIterator[Part]:
        yield await first
        async for part in parts:
            yield part

    num_sent = 0
    async with aclosing(parts):
        try:
            async for text in dialect.stream(told, all_parts()):
                yield text
                num_sent += 1
        except (BadRequest, Overloaded, BackendError) as error:
            status, code = _status(error)
            yield dialect.stream_error(status, str(error), code, num_sent)
        except Exception:
            _log.exception("a stream of %s failed", dialect.path)
            yield dialect.stream_error(500, _FAULT, "internal_error", num_sent)


def _failed(dialect: Dialect, error: BadRequest | Overloaded | BackendError) -> Response:
    status, code = _status(error)
    headers = {"retry-after": str(error.retry_after_seconds)} if isinstance(error, Overloaded) else {}
    if isinstance(error, DeadlinePassed):
        headers = {"x-should-retry": "false"}  # OpenAI's clients would ask for as long once more
    return JSONResponse(dialect.error(status, str(error), code), status, headers)


def _status(error: BadRequest | Overloaded | BackendError) -> tuple[int, str]:
    if isinstance(error, BadRequest):
        return error.status, error.code
    if isinstance(error, DeadlinePassed):
        return 504, "deadline_passed"
    return (429, "overloaded") if isinstance(error, Overloaded) else (503, "backend_error")


async def _logged(told: Told, parts: AsyncGenerator[Part]) -> AsyncGenerator[Part]:
    """Only if the person who runs the server asked for it: conversations are their writers' own."""
    name, tokenizer = told.desk.name, told.desk.prompter.tokenizer
    for one in told.prepared:
        _log.info("asked %s: %r", name, one.rendered.text or tokenizer.decode(one.rendered.token_ids))
    replies: dict[int, tuple[list[str], list[str]]] = {}
    async with aclosing(parts):
        async for part in parts:
            thought, answer = replies.setdefault(part.choice, ([], []))
            thought.append(part.thought)
            answer.append(part.answer)
            if part.end is not None:
                _log.info("%s thought %r and replied %r (%s)", name, "".join(thought), "".join(answer), part.end)
            yield part


def _of_models(room: Room, write: Callable[[Mapping[str, ModelDesk]], dict[str, Any]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(write(room.desks))

    return endpoint


def _of_model(room: Room, write: Callable[[ModelDesk], dict[str, Any]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(write(room.desk(request.path_params["name"])))
        except BadRequest as error:
            return _failed(DIALECTS[0], error)

    return endpoint


def _show(room: Room) -> Endpoint:
    """Ollama's description of one model."""

    async def endpoint(request: Request) -> Response:
        try:
            body = body_of(await request.body())
            name = body.get("model") or body.get("name") if isinstance(body, dict) else None
            if not isinstance(name, str):
                raise BadRequest("model: is missing; say which, such as " + next(iter(room.desks)))
            return JSONResponse(model_lists.ollama_show(room.desk(name)))
        except ValueError as error:
            return _failed(OLLAMA_CHAT, BadRequest(f"the body is no JSON object that can be read ({error})"))
        except BadRequest as error:
            return _failed(OLLAMA_CHAT, error)

    return endpoint


def _health(room: Room) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        loads = {name: asdict(desk.backend.load()) for name, desk in room.desks.items()}
        is_well = all(load["is_up"] for load in loads.values())
        # What is served, and to how many, is nobody's business who has no key.
        models = {"models": loads} if request.scope["has_key"] else {}
        return JSONResponse({"status": "ok" if is_well else "down"} | models, 200 if is_well else 503)

    return endpoint


def _voting(room: Room, answer: Callable[[VoteStore, Request], Awaitable[Response]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await answer(room.votes, request)

    return endpoint


def _refusals(settings: ServeSettings) -> dict[Any, Callable[[Request, Exception], Response]]:
    return {
        TooLarge: lambda request, error: too_large(settings.max_body_bytes),
        TooSlow: lambda request, error: too_slow(),
        ClientDisconnect: lambda request, error: Response(status_code=_CLIENT_LEFT),
    }
