"""The mathematics verifier: right answers in any spelling, no wrong one in any."""

import time

import pytest

from scripts.verifier_agreement import count, ours, read_pairs
from thinkwright.rewards.verifiers.math.verifier import VERIFIER, check_gold, grade, wrong_answer


def test_no_false_positive_and_few_false_negatives_on_the_checked_pairs() -> None:
    pairs = read_pairs()
    assert len(pairs) >= 240
    counts = count(pairs, ours)
    assert counts.false_positives == []
    assert counts.recall >= 0.97, counts.false_negatives


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
        ("n=2,3,4", "n=1,2,3"),
        ("1-1/e", "1+1/e"),
        (r"\pm 2021", "2021"),
        ("12:00", "1:00"),
        (r"1, 2, 3, \ldots", r"1, 2, 4, \ldots"),
        ("sin(pi*x)", r"s \cdot i \cdot n(p \cdot i \cdot x)"),
    ],
)
def test_what_other_verifiers_took_for_equal_is_not(gold: str, answer: str) -> None:
    assert grade(rf"\boxed{{{answer}}}", gold) == 0
    assert grade(rf"\boxed{{{gold}}}", answer) == 0


@pytest.mark.parametrize("difference", ["10^{-90}", "10^{-300}", r"\frac{1}{2004!}", r"\frac{\pi}{2^{500}}"])
@pytest.mark.parametrize("gold", ["1", r"\sqrt{2}", r"\pi"])
def test_a_difference_is_seen_however_small(gold: str, difference: str) -> None:
    assert grade(rf"\boxed{{{gold}+{difference}}}", gold) == 0


@pytest.mark.parametrize(
    ("reply", "gold"),
    [
        ("The answer is 18 dollars.", "18"),
        ("She has 6 left, so the answer is **6**.", "6"),
        ("$18", "18"),
        ("答案是12元。", "12"),
        ("So $x = \\frac{1}{2}$, that is\n\n\\[ \\boxed{\\dfrac{1}{2}} \\]", "0.5"),
        (r"\boxed{1} is wrong; \boxed{2}", "2"),
        ("#### 1,200", "1200"),
    ],
)
def test_the_answer_is_found_in_a_reply(reply: str, gold: str) -> None:
    assert grade(reply, gold) == 1


@pytest.mark.parametrize(
    "reply",
    [
        "",
        r"\boxed{}",
        r"\boxed{$$}",
        r"\boxed{5} or \boxed{6}",
        r"\boxed{5 \text{ or } 6}",
        r"\boxed{5, 6, 7}",
        "The answer is not 5",
        "The answer is 5 or 6",
        "5 = 6",
        "x",
        r"\boxed{5",
        "5 because it is 5",
        "I think 5",
        r"\boxed{2+3}",
        r"\boxed{\text{the answer}}",
        "\\boxed{n}",
        r"\boxed{5 \cdot 1}",
    ],
)
def test_what_is_not_the_answer_earns_nothing(reply: str) -> None:
    assert grade(reply, "5") == 0


@pytest.mark.parametrize(
    ("gold", "answers"),
    [
        ("72", ["48+24%", "The answer is 48 + 24 %.", "48+|24|", "|48|+|24|", r"\lfloor 48\rfloor+24", "24^{-1}/48"]),
        ("72", [r"48+\sqrt{576}", r"36 \cdot 10^{\log 2}", r"2 \cdot 36 \cdot 10^0", r"\boxed{x-48=24}"]),
        ("1152", [r"48 \cdot |24|", "48/(1/24)", r"48/24^{-1}", r"\frac{48}{\frac{1}{24}}"]),
        ("5", ["0!+4", "e^0+4", r"\log 100+3", r"\sqrt9+\sqrt4", r"\{0!+4\}", "x=0!+4"]),
        ("18", [r"(16-3-4)*2\%"]),
        ("500", [r"100 \cdot 5 \%"]),
        (r"50\%", [r"20+30\%", "20+30", "0.2+0.3"]),
        ("72.0000", [r"\lfloor 48\rfloor+24"]),
        (r"5\times10^3", ["2500+2500"]),
        ("[71,100)", ["[72-1,100)"]),
        (r"x \ge 72", [r"x \ge 48+24"]),
        ("x+y<72", ["x+y<48+24"]),
        ("x+y=72", ["x+y=48+24"]),
        (r"\begin{pmatrix}72\\1\end{pmatrix}", [r"\begin{pmatrix}48+24\\1\end{pmatrix}", "(48+24,1)"]),
        ("(72,1)", [r"\begin{pmatrix}48+24\\1\end{pmatrix}"]),
    ],
)
def test_a_calculation_is_no_answer_where_a_number_is_asked(gold: str, answers: list[str]) -> None:
    assert [answer for answer in answers if grade(answer, gold) or grade(rf"\boxed{{{answer}}}", gold)] == []


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("3.7321", r"2+\sqrt{3}"),
        (r"\frac{1+\sqrt5}{2}", r"\frac{\sqrt5+1}{2}"),
        ("7/3", r"2\frac13"),
        ("72", r"7.2 \cdot 10^1"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\frac{1}{2}\begin{pmatrix}2\\4\end{pmatrix}"),
        ("x+y=72", "2x+2y=144"),
    ],
)
def test_what_is_no_calculation_left_to_do_stays_right(gold: str, answer: str) -> None:
    assert grade(rf"\boxed{{{answer}}}", gold) == 1


def test_an_equation_still_to_be_solved_is_no_value() -> None:
    unsolved = ["2x+3=7", "2x=4", "x-2=0", "3x=2x+2", "y=2"]
    assert [answer for answer in unsolved if grade(rf"\boxed{{{answer}}}", "x=2")] == []
    assert [grade(rf"\boxed{{{answer}}}", "x=2") for answer in ("2", "x=2", "2=x", "x=2.0")] == [1, 1, 1, 1]
    assert grade(r"\boxed{2x=4, y=3}", "x=2, y=3") == 0
    assert grade(r"\boxed{2x-y+1=0}", "y=2x+1") == 1


NUMBER_WORDS = """
    hundredths tenths thirds quarters dozens scores pairs tens hundreds thousands millions percentages percents lakh
    crore grand gross trillionths wrongs M k bn twenty-fifths eighteenths
"""


@pytest.mark.parametrize(
    "words",
    [
        *NUMBER_WORDS.split(),
        "too many",
        "instead of",
        "unless",
        "excluded",
        "per thousand",
        "percent points",
        "per mille",
    ],
)
def test_a_word_that_changes_a_number_is_not_passed_over(words: str) -> None:
    assert grade(f"5 {words}", "5") == grade(rf"\boxed{{5\text{{ {words}}}}}", "5") == 0


def test_a_word_for_a_number_is_read_and_a_thing_that_is_counted_passed_over() -> None:
    pairs = [("5 hundredths", "0.05"), ("0.05", "5 hundredths"), (r"2 \text{ dozens}", "24"), ("5 millions", "5000000")]
    pairs += [("1.2345 thousand", "1234.5"), ("5 per cent", r"5\%"), ("50 percent", "0.5"), ("2 dozen eggs", "24")]
    assert [pair for pair in pairs if not grade(rf"\boxed{{{pair[1]}}}", pair[0])] == []
    things = ["months", "points", "apples", "feet", "days", "moths", "paths", "lengths", "units", "cents", "teeth"]
    assert [thing for thing in things if not grade(f"5 {thing}", "5")] == []


def test_large_sets_and_many_signs_cost_little() -> None:
    started = time.process_time()
    powers = ",".join(f"x^{{{n}.7}}" for n in range(10, 66))
    assert grade(rf"\boxed{{\{{{powers}\}}}}", r"\{1,2\}") == 0
    assert grade(r"\boxed{(" + ",".join([r"\pm 1"] * 60) + ")}", "(1,1)") == 0
    assert time.process_time() - started < 1
    assert grade(r"\boxed{\{5,1,5\}}", r"\{1,5\}") == 1
    assert grade(r"\boxed{\{5\}}", r"\{1,5\}") == 0


@pytest.mark.parametrize(
    "poison",
    [
        "9^9^9^9",
        "9^{9^{9^{9}}}",
        "2^{10^9}",
        "2^{2^{2^{2^{2^2}}}}",
        "(10^6)!",
        "((3!)!)!!!!",
        r"\binom{10^6}{500000}",
        "{" * 50_000 + "5" + "}" * 50_000,
        "(" * 900 + "5" + ")" * 900,
        "-" * 1_500 + "5",
        "1" * 1_900,
        "1e999999999",
        r"\sqrt" * 300 + "2",
        "|" * 300 + "x" + "|" * 300,
        "x^" * 300 + "x",
        "1," * 900 + "1",
        r"\frac" * 300 + "12",
        r"\pm" * 100 + "1",
        r"(\pm 1, \pm 1, \pm 1, \pm 1, \pm 1, \pm 1, \pm 1, \pm 1)",
        "exp(exp(exp(exp(9))))",
        r"\sin(10^{9999})",
        r"\sqrt[10^9]{2}",
        r"\begin{pmatrix}" + "1 & " * 400 + r"1\end{pmatrix}",
        "0^{-1}",
        "0/0",
        r"\tan\frac{\pi}{2}",
        r"\ln 0",
        "\x00\ud800",
    ],
    ids=lambda text: text[:16],
)
def test_poison_scores_nothing_and_costs_little(poison: str) -> None:
    for gold in ("5", r"\sqrt{2}", "x^2+1", "1, 2", r"\text{Friday}", r"\int_0^1 x^2 dx"):
        started = time.process_time()
        assert grade(poison, gold) == 0
        assert grade(rf"\boxed{{{poison}}}", gold) == 0
        assert time.process_time() - started < VERIFIER.deadline_seconds


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ("", "empty"),
        ("$ $", "empty"),
        (r"\frac{1}{", "braces"),
        ("1+", "breaks off"),
        ("5 4.6", "two numbers"),
        ("1/0", "zero"),
        ("(1+2", "brackets"),
        ("x" * 3_000, "longer"),
    ],
)
def test_a_gold_that_cannot_be_compared_is_named_and_never_rewarded(gold: str, reason: str) -> None:
    assert reason in (check_gold(gold) or "")
    with pytest.raises(ValueError, match="gold answer"):
        grade(rf"\boxed{{{gold}}}", gold)


@pytest.mark.parametrize("gold", sorted({pair.gold for pair in read_pairs()}))
def test_every_gold_scores_one_and_its_wrong_answer_zero(gold: str) -> None:
    assert check_gold(gold) is None
    assert grade(rf"So it is $\boxed{{{gold}}}$.", gold) == 1
    assert grade(gold, gold) == 1
    assert grade(rf"\boxed{{{wrong_answer(gold)}}}", gold) == 0
    assert grade(wrong_answer(gold), gold) == 0


def test_a_percentage_is_its_value_or_its_bare_figure() -> None:
    assert [grade(answer, r"50\%") for answer in ("50%", "50", "0.5", "1/2", "5", "0.05")] == [1, 1, 1, 1, 0, 0]
    assert [grade(answer, "0.5") for answer in ("50%", "0.5%")] == [1, 0]


def test_only_a_decimal_of_four_places_stands_for_an_exact_answer() -> None:
    assert [grade(r"\sqrt{2}", gold) for gold in ("1.4142", "1.414", "1.4143")] == [1, 0, 0]
    assert [grade(answer, r"\sqrt{2}") for answer in ("1.4142", "1.41421356237")] == [0, 0]


@pytest.mark.parametrize(
    "answer", ["84/7", r"\frac{84}{7}", r"84/7\%", r"\binom{12}{1}", "|-12|", r"\lfloor 12.3\rfloor", "84/7 apples"]
)
def test_where_a_whole_number_is_asked_a_quotient_or_function_is_a_calculation_left_to_do(answer: str) -> None:
    assert grade(rf"\boxed{{{answer}}}", "12") == 0.0
    assert grade(r"\boxed{12}", "12") == grade(r"\boxed{\sqrt{144}}", "12") == grade(r"\boxed{84/7}", "84/7") == 1.0


@pytest.mark.parametrize("answer", [r"\log(-x^2-1)=\sqrt{-x^2-2}", r"\frac{1}{x-x}=2", r"0^{-x^2}=y"])
def test_an_equation_that_is_defined_nowhere_is_wrong_and_no_failure(answer: str) -> None:
    assert grade(rf"\boxed{{{answer}}}", "2") == 0.0
    assert grade(rf"\boxed{{{answer}}}", "y=2x") == 0.0
