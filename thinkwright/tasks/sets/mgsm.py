"""MGSM (arXiv:2210.03057): the first 250 test problems of GSM8K in eleven languages. For evaluation."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source


def _example(row: Row) -> Example:
    gold = str(row["answer"]).strip().replace(",", "")
    return Example(
        question=row["question"].strip(),
        verifier="math",
        gold=gold,
        reference=gold,
        family=f"mgsm/{row['lang']}",
        language=row["lang"],
    )


# Not on the Hub: the copy there is a program, which `datasets` no longer runs.
SET = NamedSet(_example, held_out=(Source("mgsm/mgsm_11_languages.jsonl.gz"),))
