"""Share of words in the right language."""

import pytest

from thinkwright.errors import DataError
from thinkwright.rewards.language import language_consistency, question_words


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("let me check 3+4=7", "en", 1.0),
        ("let me check 3+4=7", "zh", 0.0),
        ("慢慢算", "zh", 1.0),
        ("wait 等等 don't", "en", 2 / 4),
        ("wait 等等 don't", "zh", 2 / 4),
        ("wait等等", "zh", 2 / 3),
        ("3个笔", "zh", 1.0),
        ("caf\u00e9 \u043c\u0438\u0440", "en", 1 / 2),
    ],
)
def test_share_counts_a_chinese_character_and_a_run_of_letters_as_a_word(
    text: str, language: str, share: float
) -> None:
    assert language_consistency(text, language) == share


@pytest.mark.parametrize(
    "text", ["", "3+4=7", "<think></think>", "A B C", "lambda x: 3*x", "f(3)=4", "x1 a_b abs(2)", "，。"]
)
def test_text_without_words_is_consistent(text: str) -> None:
    assert language_consistency(text, "zh") == 1.0
    assert language_consistency(text, "en") == 1.0


def test_names_of_the_question_do_not_count_either_way() -> None:
    ignore = question_words("Amy beats Ben. Who is second?")
    assert language_consistency("Amy胜Ben：Ben第二", "en", ignore) == 0.0
    assert language_consistency("Amy胜Ben：Ben第二", "zh", ignore) == 1.0
    assert language_consistency("so BEN is last", "en", ignore) == 1.0


def test_words_of_a_question_are_lower_cased_and_without_code() -> None:
    assert question_words("Cards A B C: swap. f(0)=3, Amy说") == frozenset({"cards", "swap", "amy", "说"})


def test_a_language_without_a_rule_is_an_error() -> None:
    with pytest.raises(DataError, match=r"'de'.*\['en', 'zh'\]"):
        language_consistency("ja", "de")
