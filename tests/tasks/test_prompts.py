from dataclasses import replace

import pytest

from thinkwright.chat.template import r1_zero_prompt
from thinkwright.config.tasks import EXAMINED_FAMILIES, TinyWorldTask
from thinkwright.errors import DataError
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.tiny_world import world


def test_the_same_seed_and_step_give_the_same_prompts_whatever_was_drawn_before() -> None:
    first, second = load_task(TinyWorldTask(type="tiny_world")), load_task(TinyWorldTask(type="tiny_world"))
    expected = [first.prompts(5, step, 8) for step in range(6)]
    assert [second.prompts(5, step, 8) for step in reversed(range(6))] == expected[::-1]


def test_seed_and_step_each_change_the_prompts() -> None:
    task = load_task(TinyWorldTask(type="tiny_world"))
    found = [{prompt.question for prompt in task.prompts(*place, 24)} for place in ((0, 0), (0, 1), (1, 0))]
    assert len(found[0] & found[1]) < 6
    assert len(found[0] & found[2]) < 6


def test_questions_and_ids_of_a_step_differ() -> None:
    task = load_task(TinyWorldTask(type="tiny_world", families=("facts",)))
    prompts = task.prompts(seed=0, step=0, count=80)
    assert len({prompt.question for prompt in prompts}) == len({prompt.prompt_id for prompt in prompts}) == 80


def test_a_step_larger_than_its_families_is_refused_with_the_number_there_is() -> None:
    task = load_task(TinyWorldTask(type="tiny_world", families=("facts",)))
    with pytest.raises(
        DataError, match=r"facts: only 112 different questions for a step of 200; set rollout\.prompts_per"
    ):
        task.prompts(seed=0, step=0, count=200)


def test_training_and_evaluation_keep_to_the_chosen_families() -> None:
    task = load_task(TinyWorldTask(type="tiny_world", families=("ordering", "countdown")))
    assert {prompt.family for prompt in task.held_out} == {"ordering", "countdown"}
    assert {prompt.family for prompt in task.prompts(0, 0, 32)} == {"ordering", "countdown"}
    assert task.report == {"held_out": {"rows": 64}}


def test_the_held_out_questions_are_256_of_all_families_each_with_its_own_id() -> None:
    held_out = load_task(TinyWorldTask(type="tiny_world")).held_out
    assert {prompt.family for prompt in held_out} == set(EXAMINED_FAMILIES) == set(world.EXAMINED_FAMILIES)
    assert len({prompt.prompt_id for prompt in held_out}) == len(held_out) == 256


def test_a_prompt_carries_the_puzzle_in_the_template() -> None:
    task = load_task(TinyWorldTask(type="tiny_world"))
    puzzle, prompt = world.held_out_puzzles()[0], task.held_out[0]
    assert prompt.text == r1_zero_prompt(puzzle.question)
    assert replace(prompt, prompt_id="", text="").__dict__ == {
        "prompt_id": "",
        "text": "",
        "reference": puzzle.answer,
        "template": "r1_zero",
        **{name: getattr(puzzle, name) for name in ("question", "verifier", "gold", "family", "level", "language")},
    }
