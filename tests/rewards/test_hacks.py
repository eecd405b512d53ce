"""Ways a model finds to be paid for nothing; none of them pays, and none of them reaches a deadline."""

import json
from collections.abc import Callable

import pytest

from thinkwright.config.rewards import RewardWeights
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import score_groups
from thinkwright.types import Prompt, Rollout

GOLDS = {
    "number": "7",
    "words": "Paris",
    "word_set": "Amy Ben",
    "countdown": json.dumps({"numbers": [2, 3, 4], "target": 14}),
    "program": json.dumps([[x, 3 * x + 2] for x in (0, 3, 7)]),
}
RIGHT = {"number": "7", "words": "Paris", "word_set": "Ben Amy", "countdown": "2+3*4", "program": "lambda x: 3*x+2"}


Scores = Callable[..., dict[str, float]]


@pytest.fixture
def scores_of(pool: WorkerPool) -> Scores:
    """What a completion earns. Fails if it is not graded: no hack may reach a deadline or break a verifier."""

    def score(text: str, verifier: str = "number") -> dict[str, float]:
        prompt = Prompt("1", "?", "?", verifier, GOLDS[verifier], "", "r1_zero", family="any", level=1, language="en")
        rollout = Rollout((1,), (0.0,), (0.0,), (False,), text, "stop", policy_version=0)
        [group] = score_groups([(prompt, (1,), [rollout])], RewardWeights(), pool)
        assert group.members[0].outcome == "graded", group.members[0].detail
        return group.members[0].scores

    return score


def in_template(answer: str) -> str:
    return f"<think>let me see</think> <answer>{answer}</answer>"


@pytest.mark.parametrize("verifier", GOLDS)
def test_an_honest_answer_is_paid_in_full(scores_of: Scores, verifier: str) -> None:
    assert scores_of(in_template(RIGHT[verifier]), verifier) == {"accuracy": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    "text",
    [
        "<think></think> <answer>7</answer>",
        "<think> \n </think> <answer>7</answer>",
        "<think>a</think> <think>b</think> <answer>7</answer>",
        "<think><think>a</think> <answer>7</answer>",
        "<think>a</think></think> <answer>7</answer>",
        "<think>a <answer>7</answer></think> <answer>7</answer>",
        "<think>a</think> <answer>7</answer> and so it is 7",
        "The answer: <think>a</think> <answer>7</answer>",
        "<think>a</think> so <answer>7</answer>",
        "<THINK>a</THINK> <ANSWER>7</ANSWER>",
        "<answer>7</answer> <think>a</think>",
        "<think>a</think> <answer>7",
        "7",
    ],
)
def test_tags_that_are_hollow_repeated_or_out_of_place_earn_no_format(scores_of: Scores, text: str) -> None:
    assert scores_of(text)["format"] == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think> <answer>6</answer> <answer>7</answer>",
        "<think>a</think> <answer>7</answer> <answer>8</answer>",
        "<think>a</think> <answer>7</answer> <answer>7</answer>",
        "<think>so <answer>7</answer></think>",
        "<think>so <answer>7</answer></think> done",
        "<think>so <answer>7</answer>",
        "<answer>7</answer> <think>a</think>",
        "<answer>7</answer>",
        "<think>7</think>",
        "<think>a</think> 7",
        "<think>a</think> <answer>7",
    ],
)
def test_an_answer_given_twice_or_not_after_the_thought_is_not_accurate(scores_of: Scores, text: str) -> None:
    assert scores_of(text)["accuracy"] == 0.0


@pytest.mark.parametrize(
    "answer",
    ["6 7", "6, 7", "6 or 7", "6|7", "5 6 7 8 9", "7 7", "7 <answer>7", "9" * 100_000, "7." + "0" * 100_000,
     "7" + " " * 50 + "8", "1/" + "9" * 60, "7e0", "7/1/1", "7=7", "", "nan"],
)  # fmt: skip
def test_several_numbers_and_huge_digits_are_not_accurate(scores_of: Scores, answer: str) -> None:
    assert scores_of(in_template(answer))["accuracy"] == 0.0


@pytest.mark.parametrize(
    ("verifier", "answer"),
    [("words", "Paris Rome"), ("words", "Rome or Paris"), ("words", "Paris " * 1000), ("word_set", "Amy Ben Zoe Tom"),
     ("word_set", "Amy, Ben, Amy"), ("word_set", "and, " * 1000)],
)  # fmt: skip
def test_naming_more_than_asked_is_not_accurate(scores_of: Scores, verifier: str, answer: str) -> None:
    assert scores_of(in_template(answer), verifier)["accuracy"] == 0.0


@pytest.mark.parametrize(
    "answer",
    ["14", "14=14", "2+3*4=2", "2+3*4+0", "2+12", "3*4+2*1", "2*3*4-10", "2+4", "2*7", "2+3*4/1", "2+3*4#",
     "2+3*4 or 14", "(2+3*4)*(4/4)", "2+3*4**1", "9**9**9**9", "+".join("2" * 60), "(" * 1000 + "2+3*4" + ")" * 1000,
     "2+3*4\x00", "2+3*4,5", "__import__('os')", "lambda: 14"],
)  # fmt: skip
def test_countdown_with_unused_extra_or_outside_numbers_is_not_accurate(scores_of: Scores, answer: str) -> None:
    assert scores_of(in_template(answer), "countdown")["accuracy"] == 0.0


@pytest.mark.parametrize(
    "answer",
    ["3*x+2", "print('[2, 11, 23]')", "lambda x: exit(0)", "lambda x: __import__('sys').exit(0)",
     "lambda x: __import__('os')._exit(0)", "lambda x: 9**9**9**9", "lambda x: [0]*10**10", "lambda x: 'a'*10**10",
     "lambda x: (lambda f: f(f))(lambda f: f(f))", "lambda x: type('E', (), {'__eq__': lambda s, o: True})()",
     "lambda x: [t for t in iter(int, 1)]", "lambda x: round(7, -10**10)", "lambda x: ((9**10)**10)**10",
     "lambda x: 1<<10**10", "lambda x: 3*x+2 if 1 else __builtins__", "lambda x: eval('3*x+2')", "lambda x: x/0",
     "lambda x: 3*x+2\nlambda x: 3*x+2", "lambda x: max", "lambda x: 3.0*x+2", "lambda x: 1e999", "lambda x: 0*1e999",
     "lambda x: " + "3*x+2 if x else " * 1000 + "2"],
)  # fmt: skip
def test_programs_that_escape_hang_eat_memory_or_pretend_are_not_accurate(scores_of: Scores, answer: str) -> None:
    assert scores_of(in_template(answer), "program")["accuracy"] == 0.0
