"""No text that a model may write makes the mathematics verifier raise, hang, or pay for what is not the answer."""

import time
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thinkwright.rewards.verifiers.math.verifier import VERIFIER, check_gold, grade, wrong_answer

PIECES = r"""
    \frac \sqrt \pm \cup \infty \pi \text{ cm} \text{or} \left( \right) \{ \} \begin{pmatrix} \end{pmatrix} \\ &
    \sin \log \binom \boxed{ \int \sum _ ^ ! | || ( ) [ ] { } , ; : = < > <= + - * / % $ ° … ... . 0 1 2 7 10 99
    1,000 0.5 x y n e i f(x) and or apples m km 5 9^9 x^2 ± √ ∞ ½ 元 A Friday
""".split()  # noqa: SIM905
GOLDS = ["5", "0.5", r"\frac{1}{2}", r"\sqrt{2}", "x^2+1", "1, 2", "(1,2)", "[1,2)", "x=5", r"\text{Friday}", "5 cm"]
mathematics = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)
anything = st.one_of(mathematics, mathematics.map(lambda text: text.replace(" ", "")), st.text(max_size=60))


@given(anything, st.sampled_from(GOLDS))
@settings(max_examples=600, deadline=None)
def test_any_answer_is_graded_zero_or_one_in_time(answer: str, gold: str) -> None:
    started = time.process_time()
    assert grade(answer, gold) in (0, 1)
    assert grade("\\boxed{" + answer + "}", gold) in (0, 1)
    assert time.process_time() - started < VERIFIER.deadline_seconds


@given(anything)
@settings(max_examples=300, deadline=None)
def test_any_gold_is_refused_with_a_reason_or_scores_one_and_its_wrong_answer_zero(gold: str) -> None:
    if check_gold(gold) is None and "boxed" not in gold and "fbox" not in gold:
        assert grade("\\boxed{" + gold + "}", gold) == 1
        assert grade("\\boxed{" + wrong_answer(gold) + "}", gold) == 0


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), anything, anything)
@settings(max_examples=300, deadline=None)
def test_a_reply_that_ends_in_another_number_never_scores(gold: int, answer: int, before: str, after: str) -> None:
    assume(answer != gold)
    after = after.replace("boxed", "").replace("}", "")
    assert grade(before + "\\boxed{" + str(answer) + "}" + after, str(gold)) == 0
    assert grade(f"{before}\nThe answer is {answer}.\n", str(gold)) == 0 or "boxed" in before


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
@settings(max_examples=200, deadline=None)
def test_two_integers_are_equal_only_if_they_are(gold: int, answer: int) -> None:
    for spelled in (str(answer), f"{answer:,}", f"\\${answer}", f"{answer}.0", f"{answer} apples", f"x={answer}"):
        assert grade(f"\\boxed{{{spelled}}}", str(gold)) == (gold == answer)
        assert grade(f"\\boxed{{{spelled}}}", str(answer)) == 1


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
@settings(max_examples=200, deadline=None)
def test_two_fractions_are_equal_only_if_they_are(gold: Fraction, answer: Fraction) -> None:
    for spelled in (str(answer), f"\\frac{{{answer.numerator}}}{{{answer.denominator}}}"):
        is_worked_out = gold.denominator > 1 or spelled.lstrip("-").isdigit()
        assert grade(spelled, str(gold)) == (gold == answer and is_worked_out)
        assert grade(spelled, f"{2 * answer.numerator}/{2 * answer.denominator}") == 1


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=5), st.lists(st.integers(-50, 50), min_size=2, max_size=5))
@settings(max_examples=200, deadline=None)
def test_lists_are_equal_in_any_order_and_tuples_only_in_theirs(gold: list[int], answer: list[int]) -> None:
    texts = [", ".join(map(str, numbers)) for numbers in (gold, answer)]
    assert grade(texts[1], texts[0]) == (sorted(gold) == sorted(answer))
    assert grade(f"({texts[1]})", f"({texts[0]})") == (gold == answer)
    assert grade("\\boxed{\\{" + texts[1] + "\\}}", "\\{" + texts[0] + "\\}") == (set(gold) == set(answer))


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=5), st.lists(st.integers(-9, 9), min_size=2, max_size=5))
@settings(max_examples=200, deadline=None)
def test_polynomials_are_equal_only_if_their_coefficients_are(gold: list[int], answer: list[int]) -> None:
    texts = ["+".join(f"({number})x^{power}" for power, number in enumerate(numbers)) for numbers in (gold, answer)]
    trimmed = [_without_trailing_zeros(numbers) for numbers in (gold, answer)]
    if len(trimmed[0]) > 1:
        assert grade(texts[1], texts[0]) == (trimmed[0] == trimmed[1])


def _without_trailing_zeros(numbers: list[int]) -> list[int]:
    return _without_trailing_zeros(numbers[:-1]) if numbers and numbers[-1] == 0 else numbers
