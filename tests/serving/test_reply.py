"""What becomes of an ask: the budget of its thought, the parts of its reply, and which tokens go with them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from tests.serving.apis.told import SilentBackend, tiny_desk
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving.ask import Ask, Message, Part, Sampling, Thinking
from thinkwright.serving.engines.backend import Piece
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.serving.prompter import Prompter
from thinkwright.serving.reply import prepare, reply_parts

THINKING = Thinking()
QUESTION = (Message("user", "What is 2 + 3?"),)


def budget_of(max_tokens: int, thinking: Thinking) -> int | None:
    found = prepare(tiny_desk(), Ask(Sampling(max_tokens=max_tokens), QUESTION, thinking=thinking)).settings
    return found.thinking_budget and found.thinking_budget.max_tokens


def test_a_budget_leaves_room_for_an_answer() -> None:
    num_forced = len(tiny_desk().prompter.encode(tiny_desk().prompter.render(Ask(Sampling(), QUESTION)).thought_end))
    assert budget_of(100, Thinking(max_tokens=20)) == 20
    assert budget_of(100, Thinking(max_tokens=99)) == budget_of(100, Thinking(max_tokens=1000)) == 99 - num_forced
    assert budget_of(100, Thinking(effort=0.001)) == 1
    assert budget_of(num_forced + 2, Thinking(max_tokens=20)) == 1
    assert budget_of(num_forced + 1, Thinking(max_tokens=20)) is None
    assert budget_of(100, Thinking()) is None


def test_closing_a_counted_reply_closes_what_generates_it() -> None:
    closed: list[bool] = []

    async def parts() -> AsyncGenerator[Part]:
        try:
            while True:
                yield Part(0, answer="a")
        finally:
            closed.append(True)

    async def run() -> list[bool]:
        generating = parts()
        async with aclosing(ServingMetrics({}).counted("m", 1, generating, 0.0)) as counted:
            await anext(counted)
        return list(closed)  # before the garbage collector can

    assert asyncio.run(run()) == [True]


class ReplayingBackend(SilentBackend):
    """A ``Backend`` that says these tokens, each as a piece."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.token_ids = token_ids

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        for token_id in self.token_ids:
            yield Piece((LiveToken(token_id, -0.5, ()),), None)
        yield Piece((), "stop")


def parts_of(
    text: str, thinking: Thinking = THINKING, stop: tuple[str, ...] = (), *, is_raw: bool = False
) -> list[Part]:
    """The parts of a reply whose tokens are those of a text and an end token."""
    tiny = tiny_desk()
    end_id = tiny.prompter.tokenizer.eos_token_id
    prompter = Prompter(tiny.prompter.tokenizer, "r1_zero")
    prompter.end_ids = frozenset({end_id})
    desk = replace(tiny, prompter=prompter, backend=ReplayingBackend([*prompter.encode(text), end_id]))
    sampling = Sampling(num_top_logprobs=0, stop=stop)
    ask = Ask(sampling, prompt="2 + 3 =") if is_raw else Ask(sampling, QUESTION, thinking=thinking)

    async def run() -> list[Part]:
        return [part async for part in reply_parts(desk, [prepare(desk, ask)])]

    return asyncio.run(run())


def text_of(parts: Sequence[Part], *, is_thought: bool) -> str:
    ids = [token.token_id for part in parts for token in part.tokens if token.is_thought == is_thought]
    return tiny_desk().prompter.tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("text", "stop", "thought", "answer"),
    [
        ("<think>2 + 3 = 5</think><answer>5 apples</answer>", (), "2 + 3 = 5", "5 apples"),
        ("<think> 2 </think> <answer> 5 🜚 </answer>\n", (), "2", "5 🜚"),
        ("a < b </thin air", (), "", "a < b </thin air"),
        ("<think>x</think>one two STOP three", (" STOP",), "x", "one two"),
        ("<think>x STOP y</think>one STO", ("STOP",), "x STOP y", "one STO"),
        ("so\n<answer>42</answer>", (), "", "so\n42"),
    ],
)
def test_tokens_are_those_of_the_text(text: str, stop: tuple[str, ...], thought: str, answer: str) -> None:
    parts = parts_of(text, stop=stop)
    assert "".join(part.thought for part in parts) == thought
    assert "".join(part.answer for part in parts).strip() == answer
    shown_thought, shown_answer = text_of(parts, is_thought=True), text_of(parts, is_thought=False)
    # A token may have a blank that was left out, or one of the tag's characters.
    assert "".join(shown_thought.split()).strip("<>") == "".join(thought.split())
    assert "".join(shown_answer.split()).strip("<>") == "".join(answer.split())
    for part in parts:
        assert not part.tokens or part.thought or part.answer, "tokens come with their text"


def test_a_text_completion_has_all_tokens_but_the_end() -> None:
    text = "<think> 5 🜚</think> <answer>"
    parts = parts_of(text, is_raw=True)
    assert "".join(part.answer for part in parts) == text_of(parts, is_thought=False) == text
    assert parts[-1].num_tokens == len(tiny_desk().prompter.encode(text)) + 1


@pytest.mark.parametrize("is_apart", [True, False])
def test_a_thought_that_is_not_streamed_comes_in_one_piece(is_apart: bool) -> None:
    parts = parts_of("<think>one two three</think>four", Thinking(is_streamed=False, is_apart=is_apart))
    with_thought = [part for part in parts if "two" in part.thought + part.answer]
    assert len(with_thought) == 1
    assert parts.index(with_thought[0]) == 0
    assert "onetwothree" in "".join(text_of(parts[:1], is_thought=is_apart).split())
    hidden = parts_of("<think>one two</think>four", Thinking(is_shown=False))
    assert text_of(hidden, is_thought=True) == ""
    assert text_of(hidden, is_thought=False) == "four"
