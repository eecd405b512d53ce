"""AIME problems with whole-number answers from 0 to 999: 1983-2021 for training, 2022-2023 held out."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source

_HUB = "di-zhang-fdu/AIME_1983_2024:train"
_COLUMNS = {"problem": "Question", "answer": "Answer", "year": "Year", "problem_number": "Problem Number"}
_LAST_PROBLEM = 15
_LAST_TRAINING_YEAR = 2021
_LAST_HELD_OUT_YEAR = 2023


def _example(row: Row) -> Example:
    gold = str(row["answer"]).strip()
    return Example(
        question=row["problem"].strip(),
        verifier="math",
        gold=gold,
        reference=gold,
        family="aime",
        # Problems rise in difficulty from 1 to 15; some rows call the last one 0.
        level=((int(row["problem_number"]) or _LAST_PROBLEM) + 2) // 3,
    )


def _is_training(row: Row) -> bool:
    return int(row["year"]) <= _LAST_TRAINING_YEAR


def _is_held_out(row: Row) -> bool:
    return _LAST_TRAINING_YEAR < int(row["year"]) <= _LAST_HELD_OUT_YEAR


SET = NamedSet(
    _example,
    training=(Source("aime_1983_2023/train_1983_2021.jsonl.gz", _HUB, _COLUMNS, keep=_is_training),),
    held_out=(Source("aime_1983_2023/dev_2022_2023.jsonl", _HUB, _COLUMNS, keep=_is_held_out),),
    level_means="fifth of the paper the problem stands in",
)
