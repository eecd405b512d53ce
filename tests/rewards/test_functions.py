"""Asserts split into a sandboxed call and a condition outside, and functions graded by them."""

import gzip
import json
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards import sandbox_runner
from thinkwright.rewards.sandbox import sandbox_problem
from thinkwright.rewards.verifiers import functions
from thinkwright.rewards.verifiers.asserts import holds, split_tests
from thinkwright.rewards.verifiers.code_answer import extract_program
from thinkwright.rewards.verifiers.plain_values import Nodes, decode_value, is_same, linked_list, tree

NODES = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val, self.next = val, next
def list_node(values):
    head = None
    for value in reversed(values): head = ListNode(value, head)
    return head
def is_same_list(p1, p2): raise NotImplementedError
class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right
"""


@pytest.fixture
def sandbox() -> None:
    if (problem := sandbox_problem()) is not None:
        pytest.skip(problem)


def gold_of(*tests: str, **more: Any) -> str:
    return json.dumps({"kind": "asserts", "tests": list(tests), **more})


def accepts(test: str, value: object, entry_point: str = "f") -> bool:
    [split] = split_tests(test, entry_point)
    return holds(split.condition, value)


@pytest.mark.parametrize(
    ("test", "call", "right", "wrong"),
    [
        ("assert f(3) == 9", "(f(3)\n)", 9, 8),
        ("assert 9 == f(3)", "(f(3)\n)", 9, None),
        ("assert f(3) != 9", "(f(3)\n)", 8, 9),
        ("assert (f('a\u00e9', [1,\n 2])) == 'b'", "(f('a\u00e9', [1,\n 2])\n)", "b", "c"),
        ("assert f(1)", "(f(1)\n)", [0], []),
        ("assert not f(1)", "(f(1)\n)", "", "x"),
        ("assert f(1) is None", "(f(1)\n)", None, 0),
        ("assert f(1) is True", "(f(1)\n)", True, 1),
        ("assert f(1) in (2, 3)", "(f(1)\n)", 3, 4),
        ("assert 2 in f(1)", "(f(1)\n)", [2], 2),
        ("assert f(1) in [1, 2]", "(f(1)\n)", 1.0, True),
        ("assert f(1) not in [1, 2]", "(f(1)\n)", True, 2),
        ("assert 'b' in f(1)", "(f(1)\n)", "abc", "ac"),
        ("assert f(1) in {1: 2}", "(f(1)\n)", 1, True),
        ("assert f(1) == {1, 2}", "(f(1)\n)", {1.0, 2}, {True, 2}),
        ("assert f(1) == {1: 2}", "(f(1)\n)", {1: 2.0}, {True: 2}),
        ("assert 1 <= f(1) < 3", "(f(1)\n)", 2, 3),
        ("assert set(f(1)) == {1, 2}", "(set(f(1))\n)", {2, 1}, [1, 2]),
        ("assert sorted(list(f(1))) == [1, 2]", "(sorted(list(f(1)))\n)", [1, 2], [2, 1]),
        ("assert len(f(1)) == 2", "(len(f(1))\n)", 2, 3),
        ("assert sorted(f(1), reverse=True) == [2, 1]", "(f(1)\n)", {1, 2}, 5),
        ("assert f(1)[0] == 2", "(f(1)[0]\n)", 2, 3),
        ("assert f(1).lower() == 'a'", "(f(1).lower()\n)", "a", "A"),
        ("assert abs(f(1) - 0.5) < 1e-6", "(f(1)\n)", 0.5000001, 0.51),
        ("assert abs(0.5 - f(1)) < 1e-6", "(f(1)\n)", 0.5, "0.5"),
        ("assert math.isclose(f(1), 2.5, rel_tol=0.01)", "(f(1)\n)", 2.51, 2.6),
        ("assert round(f(1), 2) == 1.25", "(f(1)\n)", 1.2501, None),
        ("assert int(f(1)) == 35", "(f(1)\n)", 35.9, "x"),
        ("assert f(1) == -inf", "(f(1)\n)", float("-inf"), 0),
        ("assert f((1,)) == sys.getsizeof((1,))", "(f((1,))\n)", (1,).__sizeof__() + 16, 3),
        ("assert f(1) == 1, 'a message'", "(f(1)\n)", 1, 2),
        ("assert is_same_list(f(1), list_node([1, 2]))", "(f(1)\n)", Nodes("linked_list", (1, 2)), [1, 2]),
    ],
)
def test_an_assert_becomes_a_call_and_a_condition(test: str, call: str, right: object, wrong: object) -> None:
    [split] = split_tests(test, "f")
    assert split.call == call
    assert holds(split.condition, right)
    assert not holds(split.condition, wrong)


def test_the_expected_value_is_not_in_the_call() -> None:
    tests = split_tests(
        "def check(candidate):\n    assert candidate(x = 1) == 'one'\n    assert candidate(x = 2) == 'two'", "f"
    )
    assert [test.call for test in tests] == ["(candidate(x = 1)\n)", "(candidate(x = 2)\n)"]


def test_an_assert_of_several_conditions_is_several_tests() -> None:
    assert [test.call for test in split_tests("assert f(1) == 1 and f(2) == 4", "f")] == ["(f(1)\n)", "(f(2)\n)"]


def test_a_program_named_like_a_builtin_is_the_program() -> None:
    [split] = split_tests("assert sum(10, 15) == 6", "")
    assert split.call == "(sum(10, 15)\n)"
    assert holds(split.condition, 6)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("assert f(1) == f(2)", "2 calls"),
        ("assert f(1) == 1 or f(2) == 2", "2 calls"),
        ("assert 1 == 1", "0 calls"),
        ("assert f(1) == g(2)", "the name g"),
        ("assert f(1) == open('x').read()", "a call"),
        ("assert f(1) == __import__('os').system('true')", "a call"),
        ("assert [].__class__ == f(1)", "the attribute __class__"),
        ("assert f(1) == (lambda: 3)()", "a call"),
        ("assert f(1) == [x for x in (1, 2)]", "ListComp"),
        ("assert f(1) * 10**9 == 1", "a product"),
        ("x = f(1)", "no assert"),
        ("assert f(1) ==", "not Python"),
        ("for x in (1, 2): assert f(x)", "no assert"),
        ("", "no tests"),
    ],
)
def test_an_assert_that_cannot_be_split_is_named(test: str, reason: str) -> None:
    with pytest.raises(ValueError, match="has ") as caught:
        split_tests(test, "f")
    if "call" not in reason:
        assert reason in str(caught.value)
    assert functions.VERIFIER.check_gold(gold_of(test, entry_point="f")) is not None


@pytest.mark.parametrize(
    ("value", "other", "are_same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ([1], (1,), False),
        ([1, [True]], [1, [1]], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": [1, 2], "b": 1}, {"b": 1, "a": [1, 2]}, True),
        ({1, 2}, frozenset({2, 1}), True),
        ("1", 1, False),
        (b"a", "a", False),
        (0.1 + 0.2, 0.3, False),
        (float("nan"), float("nan"), False),
        ([1], [1, 2], False),
        (deque([1]), [1], False),
        (deque([1]), deque([1.0]), True),
        (deque([1]), deque([True]), False),
        ({1, 2}, {True, 2}, False),
        ({(1, 2)}, {(True, 2)}, False),
        ({1: 2}, {True: 2}, False),
        ({1: 2}, {2: 2}, False),
        (Nodes("linked_list", (1,)), Nodes("linked_list", (True,)), False),
        (Nodes("tree", ((1,), None, None)), Nodes("tree", ((1.0,), None, None)), True),
    ],
)
def test_values_are_the_same_as_in_python_but_for_booleans(value: object, other: object, are_same: bool) -> None:
    assert is_same(value, other) is are_same
    assert is_same(other, value) is are_same


class Pair(NamedTuple):
    left: int
    right: int


class LoudInt(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "99"

    def __pos__(self) -> int:
        return 99

    __hash__ = int.__hash__


class LoudText(str):
    def __str__(self) -> str:
        return "99"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class LoudList(list[int]):
    def __iter__(self) -> Iterator[int]:
        return iter([99])

    def __len__(self) -> int:
        return 99


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (LoudInt(5), 5),
        (LoudText("a"), "a"),
        (LoudList([1, 2]), [1, 2]),
        (Pair(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, {1: 2}), {1: 2}),
        (deque([1, 2]), deque([1, 2])),
        (2**5000, 2**5000),
        (-(2**5000), -(2**5000)),
        (1 + 2j, 1 + 2j),
        (float("-inf"), float("-inf")),
        (-0.0, -0.0),
        (b"\x00\xff", b"\x00\xff"),
        ("\ud800\x00", "\ud800\x00"),
        (frozenset({(1, 2)}), frozenset({(1, 2)})),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_out_as_their_built_in_type(value: object, plain: object) -> None:
    found = decode_value(sandbox_runner.encode(value).encode("ascii"))
    assert type(found) is type(plain)
    assert found == plain
    assert not isinstance(plain, float) or str(found) == str(plain)


@pytest.mark.parametrize(
    "value", [object(), len, int, iter([1]), range(3), 2**70000], ids=lambda value: type(value).__name__
)
def test_values_without_a_counterpart_do_not_come_out(value: object) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        sandbox_runner.encode(value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.sets(st.integers() | st.text(), max_size=4)
    ),
)


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_any_plain_value_survives_the_way_out(value: Any) -> None:
    assert is_same(decode_value(sandbox_runner.encode(value).encode("ascii")), value)


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:0123456789etuplsdic', max_size=60).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    try:
        value = decode_value(body)
    except ValueError:
        return
    assert value is None or type(value).__module__ in ("builtins", "collections", Nodes.__module__)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"set": [[1]]}', b'{"int": []}', b'{"dict": [1]}', b'{"complex": [1, 2, 3]}',
     b'{"complex": [1%s, 0]}' % (b"0" * 400), b'{"complex": [0, 1%s]}' % (b"0" * 400)],
)  # fmt: skip
def test_forged_values_are_value_errors(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_value(body)


@pytest.mark.parametrize("kind", ["set", "frozenset", "dict"])
def test_members_made_to_share_their_hash_are_refused_in_a_moment(kind: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="hash"):
        decode_value(json.dumps({kind: [n // 2 * (2**61 - 1) for n in range(60_000)]}).encode())
    assert time.process_time() - started < 2
    assert len(decode_value(json.dumps({"set": list(range(60_000))}).encode())) == 60_000


def test_trees_and_lists_are_compared_by_their_shape() -> None:
    assert tree([1, None, 2, 3]) == Nodes("tree", ((1,), None, (2,), (3,), None, None, None))
    assert tree([1, 2, 3]) != tree([1, 2, None, 3])
    assert linked_list([]) is None
    assert linked_list([1, 2]) == Nodes("linked_list", (1, 2))


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("import sys, re, collections", ["re", "collections", "sys"]),
        ("from collections.abc import Sequence\nfrom  dataclasses import dataclass", ["collections", "dataclasses"]),
        ("def f():\n    import math as m; import heapq  # and copy", ["math", "heapq"]),
        ("import numpy, os.path\nfrom . import mathematics\nimported = 'json'", []),
    ],
)
def test_modules_that_a_program_imports_are_loaded_before_its_tests(program: str, named: list[str]) -> None:
    assert functions.common_modules(program) == named


def test_lists_and_trees_of_leetcode_are_graded() -> None:
    gold = gold_of(
        "def check(candidate):\n    assert is_same_list(candidate(l = list_node([1,2,3])), list_node([3,2,1]))",
        setup=NODES,
        entry_point="Solution().turn",
    )
    body = "        found = None\n        while l: found, l = ListNode(l.val, found), l.next\n        return found"
    program = f"class Solution:\n    def turn(self, l: ListNode) -> ListNode:\n{body}"
    assert functions.VERIFIER.grade(program, gold) == 1.0
    assert functions.VERIFIER.grade(program.replace("return found", "return l"), gold) == 0.0
    gold = gold_of("assert is_same_tree(candidate(), tree_node([1, None, 2]))", setup=NODES, entry_point="Solution().f")
    program = "class Solution:\n    def f(self): return TreeNode(1, None, TreeNode(2))"
    assert functions.VERIFIER.grade(program, gold) == 1.0
    assert functions.VERIFIER.grade(program.replace("None, ", ""), gold) == 0.0
    whole = gold_of(
        "assert is_same_tree(candidate(), tree_node([1, 2, 3, 4, None, None, 5]))",
        setup=NODES,
        entry_point="Solution().f",
    )
    program = (
        "class Solution:\n    def f(self): return TreeNode(1, TreeNode(2, TreeNode(4)), TreeNode(3, None, TreeNode(5)))"
    )
    assert functions.VERIFIER.grade(program, whole) == 1.0
    assert functions.VERIFIER.grade(program.replace("(4)", "(6)"), whole) == 0.0
    assert functions.VERIFIER.grade(program.replace("(5)", "(6)"), whole) == 0.0
    endless = "class Solution:\n    def f(self):\n        t = TreeNode(1)\n        t.left = t\n        return t"
    assert functions.VERIFIER.grade(endless, gold) == 0.0


@pytest.mark.usefixtures("sandbox")
def test_all_or_nothing_unless_the_gold_pays_shares() -> None:
    tests = ("assert f(1) == 1", "assert f(2) == 4", "assert f(3) == 9", "assert f(0) == 0")
    half = "def f(x): return x if x < 2 else 0 if x == 2 else 7"
    assert functions.VERIFIER.grade(half, gold_of(*tests)) == 0.0
    assert functions.VERIFIER.grade(half, gold_of(*tests, credit="share")) == 0.5
    assert functions.VERIFIER.grade("def f(x): return x ** 2", gold_of(*tests, credit="share")) == 1.0


@pytest.mark.usefixtures("sandbox")
def test_a_setup_that_needs_the_program_runs_after_it() -> None:
    gold = gold_of("assert total(root) == 3", setup="root = Node(1)\r\nroot.next = Node(2)", entry_point="total")
    program = "class Node:\n    def __init__(self, v): self.v, self.next = v, None\ndef total(n): return n.v + n.next.v"
    assert functions.VERIFIER.grade(program, gold) == 1.0


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("test", ["assert f(1) == 4", "assert f(1) is None", "assert not f(1)", "assert f(1)"])
def test_the_wrong_answer_is_wrong(test: str) -> None:
    for entry_point in ("f", "Solution().f"):
        gold = gold_of(test.replace("f(", "candidate(") if "." in entry_point else test, entry_point=entry_point)
        assert functions.VERIFIER.grade(functions.VERIFIER.wrong_answer(gold), gold) == 0.0


@pytest.mark.parametrize(
    "gold",
    ["", "[]", "{}", "nan", "[" * 100_000, '{"kind": "asserts"}', gold_of(), gold_of(""),
     gold_of("assert f(1) == 1", seconds=0),
     gold_of("assert f(1) == 1", seconds=True), gold_of("assert f(1) == 1", credit="some"),
     gold_of("assert f(1) == 1", setup="("), gold_of("assert f(1) == 1", entry_point="os.system('x')"),
     gold_of("assert f(1) == 1", setup=3), json.dumps({"kind": "asserts", "tests": [1]})],
)  # fmt: skip
def test_a_gold_that_cannot_be_used_has_a_reason(gold: str) -> None:
    assert functions.VERIFIER.check_gold(gold)


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("x = 1", "x = 1"),
        ("See:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```python\nx = 1\n```\nbetter:\n```Python3\nx = 2\n```\n```\noutput\n```", "x = 2\n"),
        ("```\nx = 1\n```\nand\n```text\nx = 2\n```", "x = 2\n"),
        ("```python\r\nx = 1\r\n```", "x = 1\n"),
        ("  ```py\n  x = 1\n    y = 2\n\nz\n  ```", "x = 1\n  y = 2\n\nz\n"),
        ("It is \\boxed{x = 1}", "x = 1"),
        ("It is \\boxed{```python\nx = {1}\n```}", "x = {1}\n"),
        ("```python\nx = 1", "x = 1\n"),
        ("```python\nx = '```'\ny = 2\n```", "x = '```'\ny = 2\n"),
        ("```python\n```", "\n"),
        ("x" * 2**19, ""),
    ],
)
def test_the_program_is_the_last_python_block(answer: str, program: str) -> None:
    assert extract_program(answer) == program


@pytest.mark.parametrize("call", ["f(", "(f([1],\n 2)\n)", "F().f("])
def test_of_several_blocks_the_last_that_defines_what_is_called_is_the_program(call: str) -> None:
    first, last = "def f(x):\n    return 1\n", "class F:\n    def f(self): return 2\n"
    answer = f"```python\n{first}```\nbetter:\n```python\n{last}```\nIt is used so:\n```python\nx = f(3)\n```"
    assert extract_program(answer, call) == last
    assert extract_program(answer, "g(") == extract_program(answer) == "x = f(3)\n"
    assert extract_program(f"```python\n{first}```\n```python\nf = lambda x: 2\n```", "f(") == "f = lambda x: 2\n"


@given(st.text(alphabet="`python \n\r3x", max_size=80))
def test_any_answer_has_a_program(answer: str) -> None:
    assert isinstance(extract_program(answer), str)


def read_rows(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def leetcode_gold(row: dict[str, Any]) -> str:
    return gold_of(row["test"], setup=row["prompt"], entry_point=row["entry_point"])


def test_every_gold_of_mbpp_and_leetcode_can_be_graded(data_folder: Path) -> None:
    golds = [
        gold_of(*row["test_list"], *row["challenge_test_list"], setup=row["test_setup_code"])
        for row in read_rows(data_folder / "mbpp/mbpp.jsonl")
    ]
    for name in ("leetcode_v0.2.0/train", "leetcode_v0.2.0/test", "leetcode_v0.3.0_new/test"):
        step = 6 if name.endswith("new/test") else 1  # these are long
        golds += map(leetcode_gold, read_rows(data_folder / f"{name}.jsonl.gz")[::step])
    assert len(golds) == 974 + 1890 + 200 + 46
    assert not [problem for problem in map(functions.VERIFIER.check_gold, golds) if problem]


@pytest.mark.slow
@pytest.mark.usefixtures("sandbox")
def test_solutions_of_mbpp_and_leetcode_pass_and_wrong_answers_do_not(data_folder: Path) -> None:
    pairs = [
        (row["code"], gold_of(*row["test_list"], setup=row["test_setup_code"]))
        for row in read_rows(data_folder / "mbpp/mbpp.jsonl")[10::60]
    ]
    pairs += [
        (row["completion"], leetcode_gold(row)) for row in read_rows(data_folder / "leetcode_v0.2.0/test.jsonl.gz")[:10]
    ]
    for answer, gold in pairs:
        assert functions.VERIFIER.grade(answer, gold) == 1.0
        assert functions.VERIFIER.grade(functions.VERIFIER.wrong_answer(gold), gold) == 0.0


def test_a_single_test_needs_no_list() -> None:
    assert functions.parse_gold(json.dumps({"kind": "asserts", "tests": "assert f(1) == 2"})).tests


def test_an_empty_tree_is_none_and_a_bytearray_is_one() -> None:
    assert tree([]) is None
    assert decode_value(b'{"bytearray": [1, 2]}') == bytearray([1, 2])


@pytest.mark.parametrize(
    ("body", "told"), [(b"[" * 302 + b"]" * 302, "nested too deeply"), (b'{"tuple": 1}', "not a list of parts")]
)
def test_values_that_no_runner_sends_are_refused(body: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        decode_value(body)
