"""Conduct by its gold: what the answer must hold, in its language."""

import json

import pytest

from thinkwright.rewards.verifiers.conduct import VERIFIER, conduct_gold
from thinkwright.tasks.tiny_world.conduct import conduct_of


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_answer_is_graded_as_its_conduct_is(language: str) -> None:
    gold = conduct_gold(language, ("7",))
    assert VERIFIER.check_gold(gold) is None
    for answer in ("The answer is 7.", "?", ""):
        assert VERIFIER.grade(answer, gold) == conduct_of(answer, language, ("7",)).grade
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) < 1


@pytest.mark.parametrize(
    "gold", ["", "[]", "{}", "7", '{"language": "en"}', '{"language": "xx", "content": []}',
             '{"language": "en", "content": "7"}', '{"language": "en", "content": [7]}', "[" * 100_000],
)  # fmt: skip
def test_a_gold_of_another_form_has_a_reason_and_no_right_answer(gold: str) -> None:
    assert "is not JSON of the form" in (VERIFIER.check_gold(gold) or "")
    assert VERIFIER.grade("The answer is 7.", gold) == 0.0


def test_a_gold_is_readable_in_any_script() -> None:
    assert json.loads(conduct_gold("zh", ("七",))) == {"language": "zh", "content": ["七"]}
    assert "七" in conduct_gold("zh", ("七",))
