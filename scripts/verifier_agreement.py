"""How often three ways to compare mathematical answers agree with pairs that people checked: one table.

    python scripts/verifier_agreement.py [FILE.jsonl]

A row of the file is ``{"gold", "answer", "equal", "form"}``. Compared: this package's verifier, math-verify alone on
the same boxed answer, and the exact string. Printed per form and in all: pairs, false positives, false negatives,
recall.
"""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from thinkwright.rewards.verifiers.math.verifier import VERIFIER

PAIRS = Path(__file__).parents[1] / "tests" / "rewards" / "math_pairs.jsonl"


class Pair(NamedTuple):
    """Two answers, and whether they are equal."""

    gold: str
    answer: str
    is_equal: bool
    form: str


class Counts(NamedTuple):
    """Verdicts against the labels."""

    false_positives: list[Pair]
    false_negatives: list[Pair]
    num_equal: int

    @property
    def recall(self) -> float:
        """Share of the equal pairs found equal."""
        return 1 - len(self.false_negatives) / self.num_equal if self.num_equal else 1.0

    @property
    def precision(self) -> float:
        """Share of the pairs found equal that are."""
        num_found = self.num_equal - len(self.false_negatives)
        return num_found / (num_found + len(self.false_positives)) if num_found else 1.0


def read_pairs(path: Path = PAIRS) -> list[Pair]:
    """The rows of a file of pairs."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Pair(row["gold"], row["answer"], row["equal"], row["form"]) for row in rows]


def ours(gold: str, answer: str) -> bool:
    """This package's verdict on the answer in a box."""
    return VERIFIER.grade(f"\\boxed{{{answer}}}", gold) == 1.0


def math_verify_alone(gold: str, answer: str) -> bool:
    """math-verify's verdict on both in a box."""
    import math_verify

    parsed = [math_verify.parse(f"$\\boxed{{{text}}}$") for text in (gold, answer)]
    return bool(math_verify.verify(parsed[0], parsed[1]))


def exact_string(gold: str, answer: str) -> bool:
    """The same characters."""
    return gold == answer


def count(pairs: list[Pair], judge: Callable[[str, str], bool]) -> Counts:
    """The judge's mistakes."""
    verdicts = [(pair, judge(pair.gold, pair.answer)) for pair in pairs]
    return Counts(
        [pair for pair, verdict in verdicts if verdict and not pair.is_equal],
        [pair for pair, verdict in verdicts if not verdict and pair.is_equal],
        sum(pair.is_equal for pair in pairs),
    )


JUDGES: dict[str, Callable[[str, str], bool]] = {
    "ours": ours,
    "math-verify alone": math_verify_alone,
    "exact string": exact_string,
}


def main() -> None:
    """Print the table and our mistakes."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    pairs = read_pairs(Path(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
    forms = list(dict.fromkeys(pair.form for pair in pairs))
    header = " | ".join(f"{name}: false + | false - | recall | precision" for name in JUDGES)
    print(f"| form | equal | different | {header} |")
    print("| --- " * (3 + 4 * len(JUDGES)) + "|")
    for form in [*forms, "all"]:
        rows = [pair for pair in pairs if form in (pair.form, "all")]
        cells: list[str] = []
        for judge in JUDGES.values():
            found = count(rows, judge)
            num_wrong = f"{len(found.false_positives)} | {len(found.false_negatives)}"
            cells.append(f"{num_wrong} | {found.recall:.0%} | {found.precision:.0%}")
        num_equal = sum(pair.is_equal for pair in rows)
        print(f"| {form} | {num_equal} | {len(rows) - num_equal} | {' | '.join(cells)} |")
    mistakes = count(pairs, ours)
    for kind, wrong in (("positive", mistakes.false_positives), ("negative", mistakes.false_negatives)):
        for pair in wrong:
            print(f"false {kind}: gold {pair.gold!r}, answer {pair.answer!r}")


if __name__ == "__main__":
    main()
