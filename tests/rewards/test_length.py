"""Rewards by length and repetition, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkwright.errors import RecipeError
from thinkwright.rewards.length import cosine_length, lazy_length, soft_overlong, target_length
from thinkwright.rewards.repetition import repetition_penalty


@pytest.mark.parametrize(
    ("num_tokens", "score"),
    [(0, 0.0), (16384, 0.0), (16385, -1 / 4096), (18432, -0.5), (20480, -1.0), (20481, -1.0), (10**9, -1.0)],
)
def test_overlong_is_punished_in_the_buffer_by_the_published_numbers(num_tokens: int, score: float) -> None:
    assert soft_overlong(num_tokens, max_tokens=20480, buffer_tokens=4096) == score


@pytest.mark.parametrize("buffer_tokens", [0, -1, 101])
def test_a_buffer_that_is_empty_or_larger_than_the_limit_is_an_error(buffer_tokens: int) -> None:
    with pytest.raises(RecipeError, match="buffer_tokens"):
        soft_overlong(1, 100, buffer_tokens)


@pytest.mark.parametrize(
    ("num_tokens", "is_correct", "score"),
    [(0, True, 2.0), (50, True, 1.5), (0, False, -10.0), (50, False, -5.0), (100, True, -10.0), (200, False, -10.0)],
)
def test_cosine_length_goes_from_short_to_long_by_the_published_values(
    num_tokens: int, is_correct: bool, score: float
) -> None:
    found = cosine_length(
        num_tokens, 100, is_correct,
        correct_short=2.0, correct_long=1.0, wrong_short=-10.0, wrong_long=0.0, exceeded=-10.0,
    )  # fmt: skip
    assert found == pytest.approx(score)


def test_cosine_length_a_quarter_of_the_way_is_on_the_cosine() -> None:
    expected = 0.5 + 0.5 * (1 + math.sqrt(0.5)) / 2
    assert cosine_length(25, 100, True) == pytest.approx(expected)


@given(right=st.integers(0, 99), wrong=st.integers(0, 300))
def test_a_wrong_answer_never_earns_what_a_right_one_within_the_limit_does(right: int, wrong: int) -> None:
    assert cosine_length(right, 100, True) >= 0.5 > -0.5 >= cosine_length(wrong, 100, False) >= -1.0


def test_a_limit_of_no_tokens_is_an_error() -> None:
    with pytest.raises(RecipeError, match="max_tokens"):
        cosine_length(1, 0, True)


@pytest.mark.parametrize(
    ("text", "ngram_size", "score"),
    [
        ("a b c d", 2, 0.0),
        ("a b a b a b", 2, -3 / 5),
        ("A b, a B!", 2, -1 / 5),
        ("a b a b", 4, 0.0),
        ("a b", 3, 0.0),
        ("", 1, 0.0),
        ("yes " * 100, 1, -99 / 100),
        ("对对对对", 1, -3 / 4),
        ("我们想我们想", 3, -1 / 4),
        ("- - - -", 2, -2 / 3),
    ],
)
def test_the_penalty_is_the_share_of_ngrams_that_stood_there_before(text: str, ngram_size: int, score: float) -> None:
    assert repetition_penalty(text, ngram_size, max_penalty=-1.0) == pytest.approx(score)
    assert repetition_penalty(text, ngram_size, max_penalty=-0.5) == pytest.approx(score / 2)


@given(st.text(max_size=300), st.integers(1, 6))
def test_the_penalty_of_any_text_lies_between_its_most_and_nothing(text: str, ngram_size: int) -> None:
    assert -1.0 < repetition_penalty(text, ngram_size) <= 0.0


@pytest.mark.parametrize(("ngram_size", "max_penalty"), [(0, -1.0), (3, 0.5)])
def test_a_penalty_that_would_reward_is_an_error(ngram_size: int, max_penalty: float) -> None:
    with pytest.raises(RecipeError):
        repetition_penalty("a b", ngram_size, max_penalty)


def test_right_answers_that_took_long_pay_where_most_are_right() -> None:
    lengths, right = [10, 10, 16, 40, 99], [True, True, True, True, False]
    found = lazy_length(lengths, right, 0.75)
    mean = (10 + 10 + 16 + 40) / 4
    assert found == pytest.approx([0.0, 0.0, 0.0, 1.2 - 40 / mean, 0.0])
    assert lazy_length(lengths, right, 0.9) == [0.0] * 5
    assert lazy_length([5, 500], [True, True], 0.5)[1] == pytest.approx(1.2 - 500 / 252.5)
    assert lazy_length([1] * 9 + [500], [True] * 10, 0.5)[-1] == -1.0
    assert lazy_length([5, 6], [False, False], 0.0) == [0.0, 0.0]


def test_a_length_far_from_its_target_pays() -> None:
    assert [target_length(n, 100) for n in (100, 80, 150, 200, 900)] == pytest.approx([0, -0.2, -0.5, -1, -1])


def test_values_on_the_scale_of_an_accuracy_are_the_default() -> None:
    assert [cosine_length(0, 1000, True), cosine_length(0, 1000, False), cosine_length(1000, 1000, True)] == [1, -1, -1]
    assert cosine_length(999, 1000, True) == pytest.approx(0.5, abs=1e-5)
    assert cosine_length(999, 1000, False) == pytest.approx(-0.5, abs=1e-5)
    assert cosine_length(0, 1, True) == 1.0


def test_a_buffer_may_be_the_whole_limit_or_one_token() -> None:
    assert [soft_overlong(n, max_tokens=4, buffer_tokens=4) for n in range(6)] == [0, -0.25, -0.5, -0.75, -1, -1]
    assert [soft_overlong(n, max_tokens=4, buffer_tokens=1) for n in range(3, 6)] == [0, -1, -1]


def test_the_share_from_which_length_is_marked_down_is_enough_itself() -> None:
    assert lazy_length([10, 10, 10, 100], [True, True, False, True], 0.75) == [0.0, 0.0, 0.0, -1.0]
    assert lazy_length([10, 10, 10, 100], [True, True, False, True], 0.76) == [0.0] * 4


def test_twenty_words_that_stood_there_before_are_a_repetition() -> None:
    assert repetition_penalty("a " * 20) == 0.0
    assert repetition_penalty("a " * 21) == -0.5
    assert repetition_penalty("a a", 1, max_penalty=0.0) == 0.0
