"""A served model's replies become the completions that ours would be."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.models.served import serving
from thinkwright.chat.template import BOXED_INSTRUCTION
from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError, RecipeError
from thinkwright.evaluation.sampler import Drawing, ServedSampler
from thinkwright.evaluation.scoring import score_completions
from thinkwright.evaluation.strategies import Strategy
from thinkwright.models.endpoint import ServedModel
from thinkwright.rewards.pool import WorkerPool
from thinkwright.types import Prompt

A = Prompt("a", "3+4?", "in a template", "math", "7", "7", "think_summary", "sums", 1, "en")
B = replace(A, prompt_id="b", question="Say it.", verifier="number")
DRAWING = Drawing(samples=3, max_tokens=50, temperature=0.0, top_p=0.95, seed=1)


def reply(message: dict[str, Any], reason: str = "stop", **usage: Any) -> tuple[int, dict[str, Any]]:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": reason}
    return 200, {"choices": [choice], "usage": {"completion_tokens": 12, **usage}}


def test_thoughts_of_either_field_are_told_apart_and_counted(pool: WorkerPool) -> None:
    bodies: list[dict[str, Any]] = []
    counted = {"completion_tokens_details": {"reasoning_tokens": 9}}
    answers = [
        reply({"content": "It is 7.", "reasoning_content": "3+4=7"}, **counted),
        reply({"content": "7", "reasoning": "so 7"}),
        reply({"content": None, "reasoning_content": "I think"}, "length", **counted),
    ]

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        bodies.append(body)
        return answers[sorted({b["seed"] for b in seeds[body["messages"][0]["content"]]}).index(body["seed"])]

    # The seeds are known beforehand: they depend on the prompt and the member alone.
    seeds: dict[str, list[dict[str, Any]]] = {}
    with serving(lambda path, body: note(seeds, body)) as url, ServedModel(Endpoint(url=url, name="m")) as model:
        sampler = ServedSampler(model)
        prompts = sampler.prompts((A, B))
        list(sampler.sample(prompts, DRAWING, Strategy()))
    with serving(answer) as url, ServedModel(Endpoint(url=url, name="m")) as model:
        found = {
            prompt.prompt_id: completions
            for prompt, completions in ServedSampler(model).sample(prompts, DRAWING, Strategy())
        }
    assert {body["messages"][0]["content"] for body in bodies} == {f"3+4? {BOXED_INSTRUCTION}", "Say it."}
    assert all((body["temperature"], body["max_tokens"], len(body["messages"])) == (0.0, 50, 1) for body in bodies)
    assert max(Counter(body["seed"] for body in bodies).values()) == 1
    rows, _ = score_completions(prompts, [found["a"], found["b"]], pool)
    whole = [row for row in rows if row["thought"] == "3+4=7"]
    assert whole[0]["answer"] == "It is 7."
    assert [row["thinking_tokens"] for row in whole] == [9, 9]
    cut = next(row for row in rows if row["thought"] == "I think")
    assert (cut["finish_reason"], cut["answer"], cut["is_correct"]) == ("length", None, False)


def note(seeds: dict[str, list[dict[str, Any]]], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    seeds.setdefault(body["messages"][0]["content"], []).append(body)
    return reply({"content": "7"})


def test_a_reply_without_counts_is_an_error_and_budgets_are_refused() -> None:
    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]}

    with serving(answer) as url, ServedModel(Endpoint(url=url, name="m", retries=0)) as model:
        sampler = ServedSampler(model)
        with pytest.raises(EndpointError, match=r"no usage\.completion_tokens"):
            list(sampler.sample(sampler.prompts((A,)), DRAWING, Strategy()))
        with pytest.raises(RecipeError, match="need the model's own tokens"):
            list(sampler.sample(sampler.prompts((A,)), DRAWING, Strategy("budget", 5)))
