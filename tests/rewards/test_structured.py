"""JSON values and Python literals, compared as data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.verifiers.structured import VERIFIER, is_same_data


def python(value: str) -> str:
    return json.dumps({"kind": "python", "value": value})


def as_json(value: Any) -> str:
    return json.dumps({"kind": "json", "value": value})


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("[(4, 1), (2, 3)]", python("[(4, 1), (2, 3)]")),
        ("[ (4,1),(2,3) ]", python("[(4, 1), (2, 3)]")),
        ("{2: None, 1: None}", python("{1: None, 2: None}")),
        ('"abc"', python("'abc'")),
        ("1.0", python("1")),
        ("{'b', 'a'}", python("{'a', 'b'}")),
        ("(1,)", python("(1,)")),
        ("-5", python("-5")),
        ("So:\n```python\n[1, 2]\n```", python("[1, 2]")),
        ("```\n[3]\n```\nno:\n```python\n[1, 2]\n```\nDone.", python("[1, 2]")),
        ("The answer is [1, 2].", python("[1, 2]")),
        ("I run it: \\boxed{'abc'}", python("'abc'")),
        ("\\boxed{\\{1: 'a'\\}}", python("{1: 'a'}")),
        ('{"a": [1, 2], "b": null}', as_json({"b": None, "a": [1, 2.0]})),
        ('```json\n{"a": true}\n```', as_json({"a": True})),
        ('Here:\n```json\n[1, "x"]\n```', as_json([1, "x"])),
        ("null", as_json(None)),
        ("`[1, 2]`", python("[1, 2]")),
        ("**[1, 2]**", python("[1, 2]")),
        ("$[1, 2]$", python("[1, 2]")),
        ("\\boxed{\\text{[1, 2]}}", python("[1, 2]")),
        ("\\boxed{`\\texttt{\\{1: 'a'\\}}`}", python("{1: 'a'}")),
        ("`'1'`", python("'1'")),
        ("1e2", as_json(100)),
    ],
)
def test_equal_data_is_right_however_it_is_written(answer: str, gold: str) -> None:
    assert VERIFIER.check_gold(gold) is None
    assert VERIFIER.grade(answer, gold) == 1.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("", python("''")),
        ("[2, 1]", python("[1, 2]")),
        ("(1, 2)", python("[1, 2]")),
        ("[1, 2, 3]", python("[1, 2]")),
        ("[1]", python("[1, 2]")),
        ("True", python("1")),
        ("1", python("True")),
        ("'1'", python("1")),
        ("abc", python("'abc'")),
        ("b'abc'", python("'abc'")),
        ("{1: 'a', True: 'a'}", python("{1: 'b'}")),
        ("{True: 'a'}", python("{1: 'a'}")),
        ("{True}", python("{1}")),
        ("[1, 2] or [2, 1]", python("[2, 1]")),
        ("`[1, 2]` or `[2, 1]`", python("[2, 1]")),
        ("**'1'**", python("1")),
        ("[1, 2]\n[2, 1]", python("[2, 1]")),
        ("```\n[2, 1]\n```\n```\n[1, 2]\n```", python("[2, 1]")),
        ("[[1, 2]]", python("[1, 2]")),
        ("1 + 1", python("2")),
        ("__import__('os').getpid()", python("2")),
        ("[x for x in (1, 2)]", python("[1, 2]")),
        ("{}", python("set()")),
        ('{"a": 1, "a": 2}', as_json({"a": 2})),
        ('{"a": "1"}', as_json({"a": 1})),
        ('{"a": 1, "b": 2}', as_json({"a": 1})),
        ("NaN", as_json(0)),
        ("{'a': 1}", as_json({"a": 1})),
        ("1", as_json(True)),
        ("null null", as_json(None)),
        ("[" * 100_000, as_json([])),
        ("-" * 10_000 + "1", python("1")),
        ("(" * 5_000 + ")" * 5_000, python("()")),
        ("9" * 10_000, python("1")),
        ("+".join("1" * 5_000), python("1")),
        ("{[]: 1}", python("1")),
        ("'\\", python("1")),
        ("\x00", python("1")),
    ],
)
def test_other_data_code_and_what_cannot_be_read_earn_nothing(
    answer: str, gold: str, cpu_seconds: Callable[[], float]
) -> None:
    before = cpu_seconds()
    assert VERIFIER.grade(answer, gold) == 0.0
    assert cpu_seconds() - before < 5


@pytest.mark.parametrize(
    "gold",
    ["", "[1]", '{"kind": "python", "value": "f(x)"}', '{"kind": "json"}', '{"kind": "python", "value": 3}', "{}"],
)
def test_a_gold_that_cannot_be_read_has_a_reason_and_no_right_answer(gold: str) -> None:
    assert VERIFIER.check_gold(gold)
    assert VERIFIER.grade(gold, gold) == 0.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


def leaves() -> st.SearchStrategy[Any]:
    return (
        st.none()
        | st.booleans()
        | st.integers(-5, 5)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=4)
    )


JSON_VALUES = st.recursive(
    leaves(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
LITERALS = st.recursive(
    leaves(), lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple), max_leaves=8
)


@settings(deadline=None)
@given(JSON_VALUES, JSON_VALUES)
def test_any_json_value_is_itself_and_another_is_not(value: Any, other: Any) -> None:
    assert VERIFIER.grade(json.dumps(value, indent=1), as_json(value)) == 1.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(as_json(value)), as_json(value)) == 0.0
    is_same = json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert is_same_data(value, other) or not is_same
    assert is_same_data(value, other) is is_same_data(other, value)


@settings(deadline=None)
@given(LITERALS)
@example("```")
@example("```python\n``````")
def test_any_literal_is_itself_and_not_a_list_of_itself(value: Any) -> None:
    assert VERIFIER.grade(f"```python\n{value!r}\n```", python(repr(value))) == 1.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(python(repr(value))), python(repr(value))) == 0.0


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(max_size=80), st.text(alphabet="[](){}'\",:1-`\\ \n", max_size=80)))
def test_no_text_raises_or_earns_what_it_does_not_say(answer: str) -> None:
    for gold in (python("'met by no chance'"), as_json({"met": ["by", "no", "chance"]})):
        assert VERIFIER.grade(answer, gold) == 0.0


def test_real_outputs_are_right(data_folder: Path) -> None:
    for line in (data_folder / "cruxeval" / "cruxeval.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        output = json.loads(line)["output"]
        gold = python(output)
        assert VERIFIER.check_gold(gold) is None
        assert VERIFIER.grade(output, gold) == 1.0
        assert VERIFIER.grade(TEMPLATES["boxed"].write("I run it.", output), gold) == 1.0
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


def test_a_reply_that_is_too_long_or_too_deep_earns_nothing() -> None:
    gold = json.dumps({"kind": "json", "value": [1]})
    assert VERIFIER.grade("[1]", gold) == 1.0
    assert VERIFIER.grade(" " * 2_000_000 + "[1]", gold) == 0.0
    deep = "[" * 600 + "1" + "]" * 600
    assert VERIFIER.grade(deep, json.dumps({"kind": "json", "value": json.loads(deep)})) == 0.0
