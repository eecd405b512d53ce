"""MBPP (arXiv:2108.07732): small Python functions with three asserts each.

The question shows the first assert, without which names and types would be anyone's guess; the others stay hidden.
Tasks 511-974 (the official validation and training splits) are for training, 11-510 (test) are held out.
"""

import ast
import json

from thinkwright.tasks.example import Example, NamedSet, Row, Source, UnusableRow

_FILE = "mbpp/mbpp.jsonl"
TEST_SECONDS = 1.0
"""Processor time of a test; the solutions take milliseconds."""
_HUB = "google-research-datasets/mbpp:full"


def _example(row: Row) -> Example:
    code, tests = row["code"].replace("\r\n", "\n").strip(), list(row["test_list"])
    setup = row["test_setup_code"].replace("\r\n", "\n").strip()
    name = _tested_function(tests[0], code)
    gold = {"kind": "asserts", "setup": setup, "tests": tests, "entry_point": name, "seconds": TEST_SECONDS}
    return Example(
        question=(
            f"{row['text'].strip()} Name the function `{name}`. For example, it must satisfy:\n"
            f"```python\n{tests[0]}\n```\nAnswer with the function in a ```python block."
        ),
        verifier="functions",
        gold=json.dumps(gold),
        reference=f"```python\n{code}\n```",
        family="mbpp",
        core=row["text"],
        source_id=str(row["task_id"]),
    )


def _tested_function(test: str, code: str) -> str:
    """The function of ``code`` that the assert calls."""
    try:
        defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        called = [
            node.func.id
            for node in ast.walk(ast.parse(test))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined
        ]
    except SyntaxError as error:
        raise UnusableRow(f"not Python 3: {error}") from error
    if not called:
        raise UnusableRow("its first assert calls no function of its solution")
    return called[0]


def _tasks(first: int, last: int, split: str) -> Source:
    return Source(_FILE, f"{_HUB}:{split}", keep=lambda row: first <= int(row["task_id"]) <= last)


SET = NamedSet(
    _example,
    training=(_tasks(601, 974, "train"), _tasks(511, 600, "validation")),
    held_out=(_tasks(11, 510, "test"),),
    broken={
        "mbpp/123": "its solution needs more time than a test may take",
        "mbpp/414": "its solution returns 1 where its tests say True",
    },
)
