"""Counting of reflective words."""

import pytest

from thinkwright.rewards.reflection import CHINESE_WORDS, ENGLISH_WORDS, count_reflection_words


@pytest.mark.parametrize("word", [*ENGLISH_WORDS, *CHINESE_WORDS])
def test_every_word_of_the_list_counts_once(word: str) -> None:
    assert count_reflection_words(f"3+4=7 {word} 5") == 1
    assert count_reflection_words(f"{word.upper()}, {word}") == 2


@pytest.mark.parametrize("text", ["waiter", "button", "checked", "rewrong", "没错", "不错", "不但", "对", "等", ""])
def test_words_that_contain_one_or_deny_one_do_not_count(text: str) -> None:
    assert count_reflection_words(text) == 0


def test_words_are_found_beside_the_other_language_and_not_twice() -> None:
    assert count_reflection_words("等等wait不对, check7 错了但 等等等") == 7
