"""What becomes of an ask: the budget of its thought, the parts of its reply, and which tokens go with them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from tests.serving.apis.told import tiny_desk
from thinkwright.serving.ask import Ask, Message, Part, Sampling, Thinking
from thinkwright.serving.metrics import ServingMetrics
from thinkwright.serving.reply import prepare

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
