"""Which gold answers of real data the mathematics verifier can compare with, and how fast: one line per set.

    python scripts/math_golds.py DATA_FOLDER

Every gold is written in a box and plainly, which must score 1; a wrong answer of its kind must score 0. Rows that fail
are printed with the reason. Then the verifier's speed in this one process, on answers of the set in a sentence, half of
them right.
"""

import gzip
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from thinkwright.rewards.extraction import find_last_box
from thinkwright.rewards.verifiers.math.reader import read_form
from thinkwright.rewards.verifiers.math.text import normalise
from thinkwright.rewards.verifiers.math.verifier import check_gold, grade, read_plain_number, strip_gold, wrong_answer

SETS: dict[str, tuple[str, str]] = {
    "gsm8k": ("gsm8k/*.jsonl*", "answer"),
    "math (solutions)": ("math/train_with_solutions.jsonl.gz math/dev300.jsonl", "solution"),
    "math (answers)": ("math/train_answers_only.jsonl.gz", "answer"),
    "aime": ("aime_1983_2023/*.jsonl*", "answer"),
    "amc23": ("amc23/*.jsonl", "answer"),
    "olympiadbench": ("olympiadbench_math/*.jsonl.gz", "final_answer"),
    "college math": ("college_math_ccby/*.jsonl", "answer"),
    "svamp": ("svamp/*.jsonl", "Answer"),
    "cmath": ("cmath/*.jsonl", "golden"),
    "mgsm": ("mgsm/*.jsonl.gz", "answer"),
}
NUM_TIMED = 2_000


def read_golds(folder: Path, name: str) -> list[str]:
    """The gold answers of a set, as text; "" for a row that has none."""
    patterns, field = SETS[name]
    golds: list[str] = []
    for path in [path for pattern in patterns.split() for path in sorted(folder.glob(pattern))]:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            golds += [gold_of(json.loads(line)[field], field) for line in lines if line.strip()]
    return golds


def gold_of(value: Any, field: str) -> str:
    """The answer in a field: after ``####``, in the last box of a solution, or the items of a list."""
    if value is None:
        return ""
    if field == "solution":
        return find_last_box(value) or ""
    return ", ".join(value) if isinstance(value, list) else str(value).rsplit("####", 1)[-1].strip()


def why_not(gold: str) -> str | None:
    """What is wrong with this gold, or None if it scores 1 and its wrong answer 0."""
    reason = check_gold(gold)
    if reason is not None:
        return reason
    right = [grade(f"So it is \\boxed{{{gold}}}.", gold), grade(gold, gold)]
    wrong = [grade(f"So it is \\boxed{{{wrong_answer(gold)}}}.", gold), grade(wrong_answer(gold), gold)]
    return None if (right, wrong) == ([1, 1], [0, 0]) else f"scores {right}, and its wrong answer {wrong}"


def kind_of(gold: str) -> str:
    """How the gold is read: number, form, or only as text."""
    stripped = strip_gold(gold)
    if read_plain_number(stripped) is not None:
        return "number"
    return "form" if read_form(normalise(stripped)) is not None else "text"


def verdicts_per_second(golds: list[str]) -> float:
    """Speed on sentences with the set's own answers: each gold beside itself and beside another row's."""
    source = random.Random(0)
    golds = [gold for gold in golds if check_gold(gold) is None]
    timed = [(source.choice(golds), gold) for gold in source.sample(golds, min(NUM_TIMED, len(golds)))]
    replies = [(f"We get $\\boxed{{{text}}}$.", gold) for other, gold in timed for text in (other, gold)]
    started = time.perf_counter()
    for reply, gold in replies:
        grade(reply, gold)
    return len(replies) / (time.perf_counter() - started)


def main() -> None:
    """Print the table, then the rows that fail."""
    folder = Path(sys.argv[1])
    failures: list[str] = []
    print("| set | rows | pass | number | form | text | verdicts/s |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in SETS:
        golds = read_golds(folder, name)
        speed = verdicts_per_second(golds)
        reasons = [(gold, why_not(gold)) for gold in golds]
        failed = [f"{name}: {gold!r} {reason}" for gold, reason in reasons if reason is not None]
        kinds = Counter(kind_of(gold) for gold in golds)
        shares = " | ".join(f"{kinds[kind] / len(golds):.1%}" for kind in ("number", "form", "text"))
        print(f"| {name} | {len(golds)} | {1 - len(failed) / len(golds):.2%} | {shares} | {speed:.0f} |")
        failures += failed
    print(*failures, sep="\n")


if __name__ == "__main__":
    main()
