"""The editor of the tiny world keeps every step and changes only how a thought begins and how the answer is told."""

from random import Random

import pytest

from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.tiny_world.rewriter import rewrite, summary
from thinkwright.tasks.tiny_world.world import FAMILIES


def test_openers_go_and_steps_stay() -> None:
    assert rewrite("step by step\n2+3=5\n5-1=4", "en") == "Let me think.\n2+3=5\n5-1=4"
    assert rewrite("慢慢算\n2+3=5", "zh") == "我想想。\n2+3=5"


@pytest.mark.parametrize("thought", ["I guess so.", "简单。", " \n quickly\n", ""])
def test_a_bare_guess_has_nothing_to_learn_from(thought: str) -> None:
    assert rewrite(thought, "en") is None


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_summary_scores_as_its_answer_does(name: str, language: str) -> None:
    rng = Random(name)
    for _ in range(20):
        puzzle = FAMILIES[name].make(rng, rng.choice(FAMILIES[name].levels), language)
        verifier = VERIFIERS[puzzle.verifier]
        assert verifier.grade(summary(puzzle.answer, language), puzzle.gold) == 1.0
        assert verifier.grade(summary(puzzle.wrong[0], language), puzzle.gold) < 1.0
