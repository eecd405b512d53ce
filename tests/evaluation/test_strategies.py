"""Budgets close thoughts, waits take their ends back; nothing depends on what else is sampled."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from thinkwright.errors import RecipeError
from thinkwright.evaluation.sample_store import Completion
from thinkwright.evaluation.strategies import Strategy, sample
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rollout.engine import SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.tasks.suites import load_suite
from thinkwright.types import Prompt

SETTINGS = SamplingSettings(3, 96, 1.0, seed=5, step=-1)


@pytest.fixture(scope="module")
def base() -> Policy:
    name = resolve_model_name("tiny-base")
    return load_policy(name, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def asked() -> tuple[Prompt, ...]:
    return load_suite("tiny_world", "r1_zero", max_questions=8).prompts


def drawn(
    policy: Policy, prompts: tuple[Prompt, ...], strategy: Strategy, settings: SamplingSettings = SETTINGS
) -> dict[str, list[Completion]]:
    found = sample(NativeEngine(policy, 16), policy, prompts, settings, strategy)
    return {prompt.prompt_id: completions for prompt, completions in found}


def test_a_thought_over_its_budget_is_closed_and_the_answer_begun(base: Policy, asked: tuple[Prompt, ...]) -> None:
    free = drawn(base, asked, Strategy())
    short = drawn(base, asked, Strategy("budget", 6))
    num_closed = 0
    for name, completions in short.items():
        for own, other in zip(completions, free[name], strict=True):
            assert own.token_ids[:6] == other.token_ids[:6]  # the same draws, until the budget is reached
            if len(other.token_ids) > 6 and "</think>" not in text_of(base, other.token_ids[:6]):
                num_closed += 1
                assert own.text[len(text_of(base, own.token_ids[:6])) :].startswith(" </think> <answer>")
            else:
                assert own == other
    assert num_closed > 3


def test_a_budget_beyond_every_thought_changes_nothing(base: Policy, asked: tuple[Prompt, ...]) -> None:
    assert drawn(base, asked, Strategy("budget", 80)) == drawn(base, asked, Strategy("budget", 81))


def test_the_end_of_a_thought_is_taken_back_as_often_as_asked(base: Policy, asked: tuple[Prompt, ...]) -> None:
    free, twice = drawn(base, asked, Strategy()), drawn(base, asked, Strategy("wait", 2))
    num_extended = 0
    for prompt in asked:
        wait = "等等" if prompt.language == "zh" else " Wait"
        for own, other in zip(twice[prompt.prompt_id], free[prompt.prompt_id], strict=True):
            assert own.text == text_of(base, own.token_ids).removesuffix("<|endoftext|>").removesuffix("<|im_end|>")
            thought, closed, _ = other.text.partition("</think>")
            if not closed:
                assert own.token_ids == other.token_ids
                continue
            assert own.text.startswith(thought.rstrip() + wait)
            num_extended += own.text.partition("</think>")[0].count(wait) >= 2
            assert len(own.token_ids) <= SETTINGS.max_tokens
    assert num_extended > 2


@pytest.mark.parametrize("strategy", [Strategy(), Strategy("budget", 8), Strategy("wait", 1)])
def test_samples_do_not_depend_on_what_is_sampled_with_them(
    base: Policy, asked: tuple[Prompt, ...], strategy: Strategy
) -> None:
    together = drawn(base, asked, strategy)
    alone = [drawn(base, asked[i : i + 3], strategy) for i in range(0, len(asked), 3)]
    for part in alone:
        for name, completions in part.items():
            assert [one.text for one in completions] == [one.text for one in together[name]]


def test_a_budget_without_room_for_an_answer_is_refused(base: Policy, asked: tuple[Prompt, ...]) -> None:
    with pytest.raises(RecipeError, match=r"--budgets 94: leaves no room .* --max-tokens 96; lower it"):
        drawn(base, asked, Strategy("budget", 94))


def test_an_extended_thought_without_room_is_cut(base: Policy, asked: tuple[Prompt, ...]) -> None:
    """The limit is the length of the longest thought alone: taking back its end leaves no room."""
    free = [one for completions in drawn(base, asked, Strategy()).values() for one in completions]
    closed = [text_of(base, one.token_ids).partition("</think>")[0] for one in free if "</think>" in one.text]
    limit = max(len(base.tokenizer.encode(thought, add_special_tokens=False)) for thought in closed) + 1
    found = drawn(base, asked, Strategy("wait", 3), replace(SETTINGS, max_tokens=limit))
    everyone = [one for completions in found.values() for one in completions]
    assert all(len(one.token_ids) <= limit for one in everyone)
    cut = [one for one in everyone if one.finish_reason == "length"]
    assert cut
    assert any(one.text.endswith("</think>") for one in cut)
    assert all(not one.text.endswith("</think>") for one in everyone if one.finish_reason == "stop")


def test_tokenizers_that_split_the_tag_lose_all_of_it(
    model_folder: Callable[[str], Path], asked: tuple[Prompt, ...]
) -> None:
    from thinkwright.evaluation.strategies import _without_end

    policy = load_policy(str(model_folder("qwen2")), device=torch.device("cpu"), dtype=torch.float32)
    ids = tuple(policy.tokenizer.encode("<think> 3+4=7 </think>", add_special_tokens=False))
    assert text_of(policy, _without_end(policy, ids, "</think>")) == "<think> 3+4=7"


def text_of(policy: Policy, ids: tuple[int, ...]) -> str:
    return policy.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
