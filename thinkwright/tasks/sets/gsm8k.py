"""GSM8K (arXiv:2110.14168): grade-school word problems. Training is the official split, held out the test split."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source, UnusableRow

_MAX_LEVEL = 8


def _example(row: Row) -> Example:
    solution, mark, result = row["answer"].rpartition("####")
    if not mark:
        raise UnusableRow("no result after ####")
    gold = result.strip().replace(",", "")
    # Every step of a solution has one calculator annotation <<...>>.
    num_steps = solution.count("<<")
    return Example(
        question=row["question"].strip(),
        verifier="math",
        gold=gold,
        reference=gold,
        family="gsm8k",
        level=max(1, min(_MAX_LEVEL, num_steps)),
    )


SET = NamedSet(
    _example,
    training=(Source("gsm8k/train.jsonl.gz", "openai/gsm8k:main:train"),),
    held_out=(Source("gsm8k/test_first819.jsonl", "openai/gsm8k:main:test"),),
    level_means="steps of the worked solution",
)
