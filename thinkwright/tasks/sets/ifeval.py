"""IFEval (arXiv:2311.07911): instructions whose following can be checked by rule. For evaluation."""

import json

from thinkwright.rewards.verifiers.ifeval_reference import satisfying_answer
from thinkwright.tasks.example import Example, NamedSet, Row, Source


def _example(row: Row) -> Example:
    # The Hub's copy fills every argument of every instruction, with None where it does not belong.
    kwargs = [{name: value for name, value in given.items() if value is not None} for given in row["kwargs"]]
    gold = json.dumps({"instruction_id_list": row["instruction_id_list"], "kwargs": kwargs}, ensure_ascii=False)
    return Example(
        question=row["prompt"].strip(),
        verifier="instructions",
        gold=gold,
        # It follows the instructions and says nothing: the source has no answers.
        reference=satisfying_answer(gold) or "",
        family="ifeval",
        level=len(row["instruction_id_list"]),
        source_id=str(row["key"]),
    )


SET = NamedSet(
    _example,
    held_out=(Source("ifeval/input_data.jsonl", "google/IFEval:train"),),
    level_means="instructions",
)
