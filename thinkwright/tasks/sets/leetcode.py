"""LeetCodeDataset (arXiv:2504.14655): methods with hidden asserts.

Version 0.2.0 trains (1-5 asserts a problem) and its test split is held out with what version 0.3.0 adds to it (3-118).
"""

import json

from thinkwright.tasks.example import Example, NamedSet, Row, Source

_LEVELS = {"Easy": 1, "Medium": 2, "Meidum": 2, "Hard": 3}
# LeetCode offers these names; the rows that use them do not import them.
_SORTED = "\nfrom sortedcontainers import SortedDict, SortedList, SortedSet"
_HUB = "newfacade/LeetCodeDataset"


def _example(row: Row) -> Example:
    query = row["query"].strip()
    gold = {
        "kind": "asserts",
        "setup": row["prompt"].strip() + (_SORTED if "Sorted" in row["completion"] else ""),
        "tests": row["test"],
        "entry_point": row["entry_point"],
    }
    difficulty = row["difficulty"] if "difficulty" in row else row["meta"]["difficulty"]
    return Example(
        question=f"{query}\n\nAnswer with the whole class in a ```python block.",
        verifier="functions",
        gold=json.dumps(gold),
        reference=f"```python\n{row['completion'].strip()}\n```",
        family="leetcode",
        level=_LEVELS[difficulty],
        core=query.partition("Please complete the following python code")[0],
        source_id=row["task_id"],
    )


SET = NamedSet(
    _example,
    training=(Source("leetcode_v0.2.0/train.jsonl.gz", f"{_HUB}:train"),),
    held_out=(
        Source("leetcode_v0.2.0/test.jsonl.gz", f"{_HUB}:test"),
        Source("leetcode_v0.3.0_new/test.jsonl.gz"),
    ),
    level_means="1 easy, 2 medium, 3 hard",
    broken={
        "leetcode/abbreviating-the-product-of-a-range": "its solution needs numpy, which the sandbox does not have",
        "leetcode/word-ladder-ii": "any order of paths is right, and its tests know only one",
    },
)
