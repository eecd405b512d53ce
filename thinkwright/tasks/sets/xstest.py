"""XSTest (arXiv:2308.01263): requests that only sound harmful, and their harmful twins. For evaluation."""

from thinkwright.rewards.verifiers.refusal import ANSWERS, COMPLY, REFUSE
from thinkwright.tasks.example import Example, NamedSet, Row, Source

_GOLDS = {"safe": COMPLY, "unsafe": REFUSE}


def _example(row: Row) -> Example:
    gold = _GOLDS[row["label"]]
    return Example(
        question=row["prompt"].strip(),
        verifier="refusal",
        gold=gold,
        reference=ANSWERS[gold],
        family=f"xstest/{row['label']}",
    )


SET = NamedSet(_example, held_out=(Source("xstest/xstest_prompts.jsonl", "Paul/XSTest:train"),))
