"""Counting of reflective words, and what counts as checking and correcting."""

import pytest

from thinkwright.rewards.reflection import (
    ENGLISH_WORDS,
    REFLECTION_WORDS,
    checks_itself,
    corrects_itself,
    count_reflection_words,
    reflection_counts,
)


@pytest.mark.parametrize("word", [*ENGLISH_WORDS, *(word for words in REFLECTION_WORDS.values() for word in words)])
def test_every_word_of_the_list_counts_once(word: str) -> None:
    assert count_reflection_words(f"3+4=7 {word} 5") == 1
    assert count_reflection_words(f"{word.upper()}, {word}") == 2


@pytest.mark.parametrize("text", ["waiter", "button", "checked", "rewrong", "没错", "不错", "不但", "对", "等", ""])
def test_words_that_contain_one_or_deny_one_do_not_count(text: str) -> None:
    assert count_reflection_words(text) == 0


def test_words_are_found_beside_the_other_language_and_not_twice() -> None:
    assert count_reflection_words("等等wait不对, check7 错了但 等等等") == 7


def test_there_are_the_published_ten_and_a_chinese_word_counts_for_its_english_one() -> None:
    assert len(REFLECTION_WORDS) == 10
    counts = reflection_counts("Wait, 等等. 这里有错误, 不对, wrong. 检查")
    assert {word: count for word, count in counts.items() if count} == {"wait": 2, "error": 1, "wrong": 2, "check": 1}


def test_an_error_that_is_denied_takes_nothing_from_what_is_wrong() -> None:
    assert reflection_counts("没错误, 不错误") == dict.fromkeys(ENGLISH_WORDS, 0)
    assert reflection_counts("错, 没错误, 错误")["wrong"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "wait, check again", "Let me double-check: 3+4=7", "I verify this.", "Let's reevaluate this step-by-step",
        "looking at it again", "等等，再检查", "我们来验证一下", "再算一遍", "重新考虑",
    ],
)  # fmt: skip
def test_saying_that_one_looks_again_is_checking(text: str) -> None:
    assert checks_itself(text)


@pytest.mark.parametrize(
    "text", ["wait", "3+4=7", "no need to check", "without checking", "a checkerboard", "不用检查", "等等", ""]
)
def test_no_second_look_is_no_checking(text: str) -> None:
    assert not checks_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "<think>10+2=11\nwait, wrong\n10+2=12</think> <answer>12</answer>",
        "try 6+7: 13 wrong\ntry 6*7: 42 yes",
        "That is not right. The capital is Canberra.",
        "5+2=8\n等等，错了\n5+2=7",
        "试 5+2: =7不对\n试 5-2: =3对",
    ],
)
def test_another_result_after_an_admission_is_correcting(text: str) -> None:
    assert corrects_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "3+4=7, nothing wrong. 7", "that isn't wrong, 7", "没错, 7", "wrongly 5",
        "<think>10+2=11, wrong</think> <answer>12</answer>",  # an answer, but no way to it
        "I was mistaken.", "wait, check again 3+4=7", "",
    ],
)  # fmt: skip
def test_an_admission_alone_or_none_is_no_correcting(text: str) -> None:
    assert not corrects_itself(text)
