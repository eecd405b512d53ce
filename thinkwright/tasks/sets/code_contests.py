"""CodeContests (arXiv:2203.07814): competition problems answered by whole programs, a tenth held out.

The rows come without solutions, so that no reference can be shown to pass. The Hub's set is read from its test split.
"""

import json
import re
from typing import Any

from thinkwright.tasks.example import Example, NamedSet, Row, Source, UnusableRow, split_by_digest

_LIMITS = re.compile(r"\s*Time Limit: .*\Z", re.DOTALL)
# A checker of equal output would mark other right answers wrong.
_MANY_ANSWERS = re.compile(
    r"\b(?:print|output|find|reconstruct)\b[^.\n]{0,40}\bany\b"
    r"|\b(?:multiple|several) (?:\w+ )?(?:answers|solutions)\b"
    r"|\babsolute or relative error\b",
    re.IGNORECASE,
)


def _example(row: Row) -> Example:
    problem, tests = _LIMITS.sub("", row["problem"]).strip(), _tests(row)
    if _MANY_ANSWERS.search(problem):
        raise UnusableRow("several outputs are right, and the tests know only one")
    if not tests["inputs"]:
        raise UnusableRow("no tests")
    return Example(
        question=(
            f"{problem}\n\nWrite a Python program that reads the input from standard input and writes the output to "
            "standard output. Answer with the whole program in a ```python block."
        ),
        verifier="stdin_stdout",
        gold=json.dumps(tests, ensure_ascii=False),
        reference="",
        family="code_contests",
        core=problem,
    )


def _tests(row: Row) -> dict[str, list[str]]:
    """Of the local file ``tests``; of the Hub's rows the public, private and generated ones."""
    groups: list[dict[str, Any]] = (
        [{"input": row["tests"]["inputs"], "output": row["tests"]["outputs"]}]
        if "tests" in row
        else [row[f"{kind}_tests"] for kind in ("public", "private", "generated")]
    )
    return {
        "inputs": [text for group in groups for text in group["input"]],
        "outputs": [text for group in groups for text in group["output"]],
    }


_TRAINING, _HELD_OUT = split_by_digest(
    Source("code_contests_165/test.jsonl.gz", "deepmind/code_contests:test", {"problem": "description"}), "problem"
)
# Statements share much of their wording ("The first line contains a single integer t"), so they are compared whole.
SET = NamedSet(_example, training=_TRAINING, held_out=_HELD_OUT, is_made=True)
