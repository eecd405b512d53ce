"""The STEM subjects of MMLU (arXiv:2009.03300): four choices a question. For evaluation."""

import json

from thinkwright.tasks.example import Example, NamedSet, Row, Source

SUBJECTS = (
    "abstract_algebra", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
    "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
    "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
)  # fmt: skip
_LETTERS = "ABCD"


def _example(row: Row) -> Example:
    choices = [str(choice).strip() for choice in row["choices"]]
    answer = _LETTERS[int(row["answer"])]
    lines = [f"{letter}. {choice}" for letter, choice in zip(_LETTERS, choices, strict=True)]
    return Example(
        question="\n".join([row["question"].strip(), *lines, "Answer with the letter of the right choice."]),
        verifier="choice",
        gold=json.dumps({"answer": answer, "choices": choices}, ensure_ascii=False),
        reference=answer,
        family=f"mmlu_stem/{row['type']}",
        # Subjects of school, and those of college.
        level=1 if row["type"].startswith(("elementary", "high_school")) else 2,
        core=" ".join([row["question"], *choices]),
    )


SET = NamedSet(
    _example,
    held_out=(
        Source(
            "mmlu_stem/test.jsonl.gz",
            "cais/mmlu:all:test",
            {"type": "subject"},
            keep=lambda row: row["type"] in SUBJECTS,
        ),
    ),
    level_means="1 school, 2 college",
)
