"""CRUXEval (arXiv:2401.03065): what does a short Python function return? A tenth held out."""

import json

from thinkwright.tasks.example import Example, NamedSet, Row, Source, split_by_digest


def _example(row: Row) -> Example:
    output = row["output"].strip()
    return Example(
        question=(
            f"Here is a Python function:\n```python\n{row['code'].strip()}\n```\n"
            f"What does f({row['input']}) return? Answer with the value as a Python literal."
        ),
        verifier="structured",
        gold=json.dumps({"kind": "python", "value": output}),
        reference=output,
        family="cruxeval",
        core=f"{row['code']} {row['input']}",
        source_id=str(row["id"]),
    )


_TRAINING, _HELD_OUT = split_by_digest(Source("cruxeval/cruxeval.jsonl", "cruxeval-org/cruxeval:test"), "code")
SET = NamedSet(_example, training=_TRAINING, held_out=_HELD_OUT)
