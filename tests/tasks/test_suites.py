"""Suites by name: every one can be asked, from local files."""

from pathlib import Path

import pytest

from thinkwright.config.suites import SUITES, TINY_WORLD
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.sets import SETS
from thinkwright.tasks.suites import load_suite, put_in

FEWEST = {"code_contests": 9}


@pytest.mark.parametrize("name", sorted(SUITES))
def test_every_suite_has_questions_whose_golds_can_be_read(name: str, data_folder: Path) -> None:
    found = load_suite(name, "think_summary", str(data_folder), max_questions=20)
    assert len(found.prompts) == 20
    assert len({prompt.prompt_id for prompt in found.prompts}) == 20
    assert all(prompt.template == "think_summary" for prompt in found.prompts)
    assert name in found.note


def test_every_set_with_held_out_rows_that_has_references_is_a_suite() -> None:
    """The generated puzzles of reasoning-gym and the sampled CodeContests have no published figures to compare with."""
    assert set(SUITES) == {TINY_WORLD, *SETS} - {"reasoning_gym", "code_contests"}


def test_a_sample_of_the_tiny_world_is_like_the_whole() -> None:
    whole = load_suite(TINY_WORLD, "r1_zero").prompts
    some = load_suite(TINY_WORLD, "r1_zero", max_questions=64).prompts
    for name in ("family", "level", "language"):
        assert {getattr(prompt, name) for prompt in some} == {getattr(prompt, name) for prompt in whole}
    assert len(some) == 64


def test_an_unknown_suite_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no 'gsm8'; did you mean gsm8k\? there"):
        load_suite("gsm8", "r1_zero")


def test_a_template_that_loses_the_question_is_refused() -> None:
    prompts = load_suite(TINY_WORLD, "r1_zero", max_questions=3).prompts
    with pytest.raises(DataError, match="writes several questions as one text"):
        put_in(prompts, ["same"] * 3, "think_summary")


def test_xstest_asks_for_help_and_for_refusals(data_folder: Path) -> None:
    prompts = load_suite("xstest", "think_summary", str(data_folder)).prompts
    golds = [(prompt.family, prompt.gold) for prompt in prompts]
    assert golds.count(("xstest/safe", "comply")) == 250
    assert golds.count(("xstest/unsafe", "refuse")) == 200
