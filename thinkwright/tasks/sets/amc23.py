"""The 40 AMC 12 problems of 2023 that are used for evaluation."""

from thinkwright.tasks.example import Example, NamedSet, Row, Source


def _example(row: Row) -> Example:
    # The source writes whole numbers as 27.0.
    answer = row["answer"]
    gold = str(int(answer)) if isinstance(answer, float) and answer.is_integer() else str(answer)
    return Example(question=row["problem"].strip(), verifier="math", gold=gold, reference=gold, family="amc23")


SET = NamedSet(
    _example,
    held_out=(Source("amc23/test.jsonl", "math-ai/amc23:test", {"problem": "question"}),),
)
