"""From an ask to the parts of its reply: rendered, generated, told apart, choice by choice."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace

from thinkwright.chat.thought_splitter import CLOSE, OPEN, Said, StopFinder, ThoughtSplitter
from thinkwright.config.suites import TEMPERATURE, TOP_P
from thinkwright.rollout.engine import ThinkingBudget
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving.ask import Ask, BadRequest, Part, Rendered, ShownToken, Thinking
from thinkwright.serving.engines.backend import Backend
from thinkwright.serving.prompter import TOO_LONG, Prompter
from thinkwright.serving.shown_tokens import ShownTokens
from thinkwright.serving.token_text import TokenText

_SEED_BITS = 31


@dataclass(frozen=True)
class Defaults:
    """How a model is drawn from where a client says nothing: R1's settings, or its own generation_config.json's."""

    temperature: float = TEMPERATURE
    top_p: float = TOP_P
    top_k: int = 0
    min_p: float = 0.0


@dataclass(frozen=True)
class ModelDesk:
    """One model as clients know it."""

    name: str
    prompter: Prompter
    backend: Backend
    defaults: Defaults
    created: int
    """Seconds since 1970."""
    details: dict[str, str]
    """What is told of it: family, size, where it is from."""


@dataclass(frozen=True)
class Prepared:
    """An ask that can be answered."""

    ask: Ask
    rendered: Rendered
    settings: LiveSettings


def prepare(desk: ModelDesk, ask: Ask) -> Prepared:
    """Render and check. Raises BadRequest, so that nothing has been sent when a client asks for what cannot be."""
    backend = desk.backend
    most = min(backend.max_prompt_tokens, backend.context - 1)
    rendered = desk.prompter.render(ask, most)
    num_prompt = len(rendered.token_ids)
    if num_prompt == 0:
        raise BadRequest("the prompt is empty; send at least one token")
    if num_prompt > most:
        raise BadRequest(
            f"the conversation is {num_prompt} tokens long, and {desk.name} takes {most}; send a shorter one",
            code=TOO_LONG,
        )
    room = min(backend.max_tokens, backend.context - num_prompt)
    return Prepared(ask, rendered, _settings(desk, ask, rendered, room))


async def reply_parts(desk: ModelDesk, prepared: Sequence[Prepared]) -> AsyncGenerator[Part]:
    """Parts of all choices of all asks as they come, choices numbered on from ask to ask.

    Closing the generator ends the work on all of them. Raises Overloaded and BackendError as ``Backend.generate``.
    """
    wanted = [(one, member) for one in prepared for member in range(one.ask.sampling.num_choices)]
    if len(wanted) == 1:
        async with aclosing(_choice(desk, *wanted[0], 0)) as parts:
            async for part in parts:
                yield part
        return
    queue: asyncio.Queue[Part | Exception] = asyncio.Queue()

    async def run(number: int) -> None:
        try:
            async with aclosing(_choice(desk, *wanted[number], number)) as parts:
                async for part in parts:
                    queue.put_nowait(part)
        except Exception as error:  # raised again where parts are taken
            queue.put_nowait(error)

    tasks = [asyncio.create_task(run(number)) for number in range(len(wanted))]
    try:
        num_open = len(tasks)
        while num_open:
            found = await queue.get()
            if isinstance(found, Exception):
                raise found
            num_open -= found.end is not None
            yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _choice(desk: ModelDesk, prepared: Prepared, member: int, number: int) -> AsyncGenerator[Part]:
    """One completion of an ask, which is choice ``number`` of the reply."""
    reader = _Reader(desk.prompter, prepared, number)
    name = _name(prepared.rendered.token_ids, member)
    generated = desk.backend.generate(prepared.rendered.token_ids, prepared.settings, name)
    async with aclosing(generated) as pieces:
        async for piece in pieces:
            for token in piece.tokens:
                reader.read(token)
                if reader.has_stopped:
                    break
            end = "stop" if reader.has_stopped else piece.end
            if end is not None:
                yield replace(reader.finish(), end=end)
                return
            if part := reader.take():
                yield part


def _name(prompt_ids: tuple[int, ...], member: int) -> str:
    """A part of the seed that differs from prompt to prompt.

    Evaluators send one seed with every question; were all drawn with the same numbers, their errors would go together.
    """
    digest = hashlib.sha256(",".join(map(str, prompt_ids)).encode()).hexdigest()
    return f"{digest}/{member}"


class _Reader:
    """Tokens of one choice in, parts out."""

    def __init__(self, prompter: Prompter, prepared: Prepared, choice: int) -> None:
        rendered, ask = prepared.rendered, prepared.ask
        self._choice, self._thinking = choice, ask.thinking
        self._shown = None
        if ask.sampling.num_top_logprobs is not None:
            self._shown = ShownTokens(ask.thinking, has_stops=bool(ask.sampling.stop))
        self._end_ids = prompter.end_ids
        self._text = TokenText(prompter.tokenizer, prompter.end_ids)
        self._is_raw = ask.prompt is not None
        self._splitter = ThoughtSplitter(
            opens_thought=rendered.opens_thought, has_thought=rendered.has_thought, answer_tags=rendered.answer_tags
        )
        self._stops = StopFinder(ask.sampling.stop)
        self._num_tokens = self._num_thinking = 0
        self._thought: list[str] = []
        self._answer: list[str] = []
        self._is_between_tags = False

    @property
    def has_stopped(self) -> bool:
        """A stop text ended the answer."""
        return self._stops.has_stopped

    def read(self, token: LiveToken) -> None:
        """One more token."""
        was_thought = self._splitter.kind == "thought"
        self._num_tokens += 1
        text = self._text.feed(token.token_id)
        if self._shown is not None:
            self._shown.read(token, len(text))
        self._tell(text)
        self._num_thinking += was_thought or self._splitter.kind == "thought"

    def take(self) -> Part | None:
        """What is new; None if nothing is."""
        if not self._thinking.is_streamed and self._splitter.kind == "thought":
            return None  # there is nothing else yet
        part = Part(self._choice, _taken(self._thought), _taken(self._answer), self._taken_tokens())
        return part if part.thought or part.answer or part.tokens else None

    def finish(self) -> Part:
        """What is left, with the counts."""
        if not self.has_stopped:
            rest = self._text.finish()
            if self._shown is not None:
                self._shown.read_rest(len(rest), self._end_ids)
            self._tell(rest)
            self._say([] if self._is_raw else self._splitter.finish())
            if not self.has_stopped:  # by the rest
                self._answer.append(self._stops.finish())
                if self._shown is not None:
                    self._shown.pass_stops()
        texts = _taken(self._thought), _taken(self._answer)
        return Part(
            self._choice,
            *texts,
            self._taken_tokens(),
            num_tokens=self._num_tokens,
            num_thinking_tokens=self._num_thinking,
        )

    def _tell(self, text: str) -> None:
        if text:
            self._say([("answer", text)] if self._is_raw else self._splitter.feed(text))

    def _say(self, said: Said) -> None:
        for kind, text in said:
            if kind == "answer":
                self._close_tag()
                self._answer.append(self._stops.feed(text))
            elif self._thinking.is_shown and self._thinking.is_apart:
                self._thought.append(text)
            elif self._thinking.is_shown:
                self._answer.append(text if self._is_between_tags else OPEN + text)
                self._is_between_tags = True
        if self._shown is not None:
            self._shown.settle(said, self._splitter.num_held, self._stops.num_passed)

    def _close_tag(self) -> None:
        if self._is_between_tags:
            self._answer.append(f"{CLOSE}\n\n")
            self._is_between_tags = False

    def _taken_tokens(self) -> tuple[ShownToken, ...]:
        return () if self._shown is None else self._shown.take()


def _taken(texts: list[str]) -> str:
    text = "".join(texts)
    texts.clear()
    return text


def _settings(desk: ModelDesk, ask: Ask, rendered: Rendered, room: int) -> LiveSettings:
    sampling, defaults = ask.sampling, desk.defaults
    max_tokens = min(sampling.max_tokens or room, room)
    chosen = asdict(defaults) | {
        key: value for key in asdict(defaults) if (value := getattr(sampling, key)) is not None
    }
    try:
        return LiveSettings(
            max_tokens=max_tokens,
            seed=secrets.randbits(_SEED_BITS) if sampling.seed is None else sampling.seed,
            thinking_budget=_budget(desk.prompter, ask.thinking, rendered, max_tokens),
            num_alternatives=sampling.num_top_logprobs or 0,
            ignore_end=sampling.ignore_end,
            **chosen,
        )
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _budget(prompter: Prompter, thinking: Thinking, rendered: Rendered, max_tokens: int) -> ThinkingBudget | None:
    """A thought that is longer is ended; an answer must still fit behind it."""
    if not (thinking.is_on and rendered.has_thought):
        return None
    limits = [] if thinking.max_tokens is None else [thinking.max_tokens]
    limits += [] if thinking.effort is None else [int(thinking.effort * max_tokens)]
    if not limits:
        return None
    forced = prompter.encode(rendered.thought_end)
    most = max_tokens - len(forced) - 1
    if most < 1:
        return None
    return ThinkingBudget(min(max(min(limits), 1), most), CLOSE, forced, "" if rendered.opens_thought else OPEN)
