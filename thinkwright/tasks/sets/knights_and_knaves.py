"""Knights and knaves (arXiv:2410.23123): who of 3 to 7 people tells the truth? One solution each."""

import json

from thinkwright.tasks.example import Example, NamedSet, Row, Source

PEOPLE = range(3, 8)
_ENDING = "Answer with a list that has a line for each person, such as: (1) Ann is a knight (2) Bob is a knave."


def _example(row: Row) -> Example:
    names, solution = row["names"], row["solution"]
    words = {True: "knight", False: "knave"}
    gold = {
        "names": names,
        "solution": solution,
        "true_word": words[True],
        "false_word": words[False],
    }
    return Example(
        question=f"{row['quiz'].strip()} {_ENDING}",
        verifier="truth_assignment",
        gold=json.dumps(gold),
        reference=", ".join(f"{name} is a {words[is_knight]}" for name, is_knight in zip(names, solution, strict=True)),
        family="knights_and_knaves",
        level=len(names),
        core=row["quiz"],
    )


_HUB = "K-and-K/knights-and-knaves"
SET = NamedSet(
    _example,
    training=(
        Source("knights_and_knaves/train.jsonl.gz"),
        *(Source("", f"{_HUB}:train:{people}ppl") for people in PEOPLE),
    ),
    held_out=(
        Source("knights_and_knaves/test.jsonl.gz"),
        *(Source("", f"{_HUB}:test:{people}ppl") for people in PEOPLE),
    ),
    is_made=True,
    level_means="people",
)
