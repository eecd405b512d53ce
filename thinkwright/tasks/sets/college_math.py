"""College mathematics (MathScale, arXiv:2403.02884): textbook exercises with short answers, a tenth held out."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source, split_by_digest


def _example(row: Row) -> Example:
    gold = row["answer"].strip()
    return Example(
        question=row["question"].strip(),
        verifier="math",
        gold=gold,
        reference=gold,
        family=f"college_math/{row['data_topic'].removeprefix('college_math.')}",
    )


_TRAINING, _HELD_OUT = split_by_digest(
    Source("college_math_ccby/test.jsonl", "di-zhang-fdu/College_Math_Test:test"), "question"
)
SET = NamedSet(_example, training=_TRAINING, held_out=_HELD_OUT)
