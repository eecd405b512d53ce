"""OlympiadBench (arXiv:2402.14008): English text-only olympiad problems with final answers. For evaluation."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source, UnusableRow


def _example(row: Row) -> Example:
    if row["error"]:
        raise UnusableRow("answer with a tolerance of its own")
    gold = ", ".join(row["final_answer"]).strip()
    unit = f" Give the answer in {row['unit'].strip('$')}." if row["unit"] else ""
    return Example(
        question=row["question"].strip() + unit,
        verifier="math",
        gold=gold,
        reference=gold,
        family=f"olympiadbench/{row['subfield'].lower().replace(' ', '_')}",
    )


SET = NamedSet(
    _example,
    held_out=(Source("olympiadbench_math/test.jsonl.gz", "Hothan/OlympiadBench:OE_TO_maths_en_COMP:train"),),
)
