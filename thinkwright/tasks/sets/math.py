"""MATH (arXiv:2103.03874): competition problems with LaTeX answers.

Locally, training is the official training split (final answers only) and most of the test split (with solutions), as
in the customary 12,000; 300 rows of the test split are held out. MATH-500 is in neither.
"""

import re

from thinkwright.chat.template import find_last_box
from thinkwright.tasks.example import Example, NamedSet, Row, Source, UnusableRow

_BARE_BOX = re.compile(r"\\boxed\s+([^\s$.]+)")


def _example(row: Row) -> Example:
    gold = str(row["answer"]) if "answer" in row else _boxed(row["solution"])
    kind = row["type"].lower().replace(" & ", "_and_").replace(" ", "_")
    return Example(
        question=row["problem"].strip(),
        verifier="math",
        gold=gold.strip(),
        reference=gold.strip(),
        family=f"math/{kind}",
        level=_level(row),
    )


def _boxed(solution: str) -> str:
    box = find_last_box(solution)
    if box is not None:
        return box[1]
    bare = _BARE_BOX.findall(solution)
    if not bare:
        raise UnusableRow("no answer in a box at the end of the solution")
    return bare[-1]


def _level(row: Row) -> int:
    """1 to 5: ``Level 3`` of the set itself, or the machine grade that stands in for it (0 counts as 1)."""
    grade = row["level"].removeprefix("Level ") if "level" in row else row["difficulty"]
    return max(1, int(grade)) if str(grade) != "?" else 1


SET = NamedSet(
    _example,
    training=(
        Source("math/train_answers_only.jsonl.gz", "DigitalLearningGmbH/MATH-lighteval:default:train"),
        Source("math/train_with_solutions.jsonl.gz"),
    ),
    held_out=(Source("math/dev300.jsonl", "DigitalLearningGmbH/MATH-lighteval:default:test"),),
    level_means="difficulty, as MATH has it",
)
