"""CMATH (arXiv:2306.16636): Chinese primary-school word problems by grade, a tenth held out.

The second file asks 60 of such problems in six variants each, with more and more conditions that do not matter; all
variants of a problem stand on the same side of the split.
"""

from thinkwright.tasks.example import Example, NamedSet, Row, Source, split_by_digest

_PROBLEMS = split_by_digest(
    Source("cmath/cmath_dev.jsonl", "weitianwen/cmath:validation", {"input": "question"}), "input"
)
_DISTRACTED = split_by_digest(Source("cmath/distractor.jsonl"), "original")


def _example(row: Row) -> Example:
    gold = str(row["golden"]).strip()
    return Example(
        question=row["input"].strip(),
        verifier="math",
        gold=gold,
        reference=gold,
        family="cmath" if "grade" in row else "cmath/distractor",
        level=int(row["grade"]) if "grade" in row else 1,
        language="zh",
    )


SET = NamedSet(
    _example,
    training=_PROBLEMS[0] + _DISTRACTED[0],
    held_out=_PROBLEMS[1] + _DISTRACTED[1],
    level_means="school grade",
)
