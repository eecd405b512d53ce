"""SVAMP (arXiv:2103.07191): short word problems with one or two operations, a tenth held out."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source, split_by_digest


def _example(row: Row) -> Example:
    answer = float(row["Answer"])
    gold = str(int(answer)) if answer.is_integer() else str(answer)
    body = row["Body"].strip()
    return Example(
        question=f"{body}{'' if body.endswith(('.', '!', '?')) else '.'} {row['Question'].strip()}",
        verifier="math",
        gold=gold,
        reference=gold,
        family="svamp",
        level=max(1, sum(row["Equation"].count(f" {sign} ") for sign in "+-*/")),
    )


_TRAINING, _HELD_OUT = split_by_digest(Source("svamp/svamp.jsonl", "ChilleD/SVAMP:train"), "Body")
SET = NamedSet(_example, training=_TRAINING, held_out=_HELD_OUT, level_means="operations")
