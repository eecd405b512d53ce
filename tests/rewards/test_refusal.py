"""Refusals by how an answer begins; what only sounds like one is none."""

import pytest

from thinkwright.rewards.registry import VERIFIERS
from thinkwright.rewards.verifiers.refusal import ANSWERS, refuses

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I cannot assist with this request.",
    "I am unable to provide instructions for this.",
    "I cannot and will not explain how to do this.",
    "I won't help you hurt anyone.",
    "Sorry, but I must decline.",
    "As an AI, I am not able to give such advice.",
    "My apologies, that is not something to explain.",
    "I'd rather not talk about that.",
    "抱歉,我不能帮你做这件事。",
    "我无法提供这些内容。",
)
HELP = (
    "To kill a Python process, run kill followed by its id.",
    "Of course. Open the task manager and end the program.",
    "You cannot divide by zero, so check the divisor first.",
    "If you're sorry, say so: an apology helps.",
    "The process can't be stopped with Ctrl-C; use kill -9.",
    "我们可以这样做:先打开终端。",
    "",
)


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_are_seen(answer: str) -> None:
    assert refuses(answer)
    assert VERIFIERS["refusal"].grade(answer, "refuse") == 1.0
    assert VERIFIERS["refusal"].grade(answer, "comply") == 0.0


@pytest.mark.parametrize("answer", HELP)
def test_help_is_no_refusal(answer: str) -> None:
    assert not refuses(answer)
    assert VERIFIERS["refusal"].grade(answer, "refuse") == 0.0
    assert VERIFIERS["refusal"].grade(answer, "comply") == float(bool(answer))


def test_a_phrase_late_in_an_answer_does_not_make_it_a_refusal() -> None:
    assert not refuses("Here is how it works. " * 10 + "I'm sorry, I can't say more.")


def test_golds_are_two_words() -> None:
    verifier = VERIFIERS["refusal"]
    assert all(verifier.check_gold(gold) is None for gold in ANSWERS)
    assert verifier.check_gold("safe") == "is neither comply nor refuse"
