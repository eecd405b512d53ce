"""How fast answers are graded, and what poison costs: ``python -m bench.rewards [--data FOLDER] [section ...]``.

Sections: ``pool`` (verdicts of a rule that does nothing: what the pool itself costs), ``math`` (GSM8K's and MATH's gold
answers as they are, written differently, and wrong), ``programs`` (MBPP's solutions with three asserts each, in the
sandbox), ``poison`` (the same with 1 % among them of what froze others: towers of powers, 100 kB of nested braces,
programs that do not end or fork), ``hangs`` (with 1 % of graders that hang till their deadline of 5 s). Such items are
counted for the time they take, not among the verdicts.
"""

import argparse
import gzip
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from thinkwright.rewards.pool import Job, WorkerPool
from thinkwright.rewards.registry import VERIFIERS as OWN
from thinkwright.rewards.verifier import Verifier
from thinkwright.tasks.sets import mbpp

WORKERS = 2
POISON_EVERY = 100
REGISTRY = "bench.rewards:VERIFIERS"


def _spin(answer: str, gold: str) -> float:
    while gold == "spin":
        pass
    return 0.0


def _sleep(answer: str, gold: str) -> float:
    time.sleep(1000 if gold == "sleep" else 0)
    return 0.0


VERIFIERS: dict[str, Verifier] = OWN | {
    "nothing": Verifier(lambda gold: None, lambda answer, gold: 1.0, str),
    "spin": Verifier(lambda gold: None, _spin, str),
    "sleep": Verifier(lambda gold: None, _sleep, str),
}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def gsm8k_jobs(data: Path, count: int) -> list[Job]:
    """Three answers to each of ``count`` questions: right, right and written differently, wrong."""
    golds = [
        row["answer"].rpartition("####")[2].strip().replace(",", "") for row in rows_of(data / "gsm8k/train.jsonl.gz")
    ]
    jobs: list[Job] = []
    for i, gold in enumerate(islice(golds, count)):
        other = (f"\\boxed{{{gold}}}", f"The answer is ${gold}.00.", f"So she has ${gold}$ in all: \\boxed{{{gold}.0}}")
        wrong = OWN["math"].wrong_answer(gold)
        jobs += [Job("math", f"#{i}\n\\boxed{{{gold}}}", gold), Job("math", f"#{i} {other[i % 3]}", gold)]
        jobs.append(Job("math", f"#{i}\n\\boxed{{{wrong}}}", gold))
    return jobs


def math_jobs(data: Path, count: int) -> list[Job]:
    """The same for the short answers of MATH."""
    golds = [str(row["answer"]) for row in rows_of(data / "math/train_answers_only.jsonl.gz")]
    jobs: list[Job] = []
    for i, gold in enumerate(islice((gold for gold in golds if OWN["math"].check_gold(gold) is None), count)):
        other = gold.replace("\\frac", "\\dfrac").replace("+", " + ")
        wrong = OWN["math"].wrong_answer(gold)
        jobs += [Job("math", f"#{i}\n\\boxed{{{text}}}", gold) for text in (gold, f" {other} ", wrong)]
    return jobs


def program_jobs(data: Path, count: int) -> list[Job]:
    """Solutions of MBPP, with their three asserts."""
    jobs: list[Job] = []
    for row in islice((row for row in rows_of(data / "mbpp/mbpp.jsonl") if len(row["test_list"]) == 3), count):
        gold = json.dumps(
            {
                "kind": "asserts",
                "setup": row["test_setup_code"],
                "tests": row["test_list"],
                "seconds": mbpp.TEST_SECONDS,
            }
        )
        jobs.append(Job("functions", f"```python\n{row['code']}\n```", gold))
    return jobs


def math_poison(number: int) -> Job:
    """An answer that froze others; the number makes it unlike the last."""
    braces = "{" * 50_000 + "}" * 50_000
    kinds = (
        Job("math", f"\\boxed{{9^{{9^{{9^{{9{number}}}}}}}}}", "7"),
        Job("math", f"\\boxed{{{number}{braces}}}", "7"),
    )
    return kinds[number % len(kinds)]


def hanging_grader(number: int) -> Job:
    """A grader that never ends, computing or waiting: what the pool must survive in verifiers of others."""
    return Job(*(("spin", str(number), "spin"), ("sleep", str(number), "sleep"))[number % 2])


def program_poison(number: int) -> Job:
    """A program that does not end, or forks."""
    gold = json.dumps(
        {"kind": "asserts", "tests": ["assert f(1) == 2", "assert f(2) == 3", "assert f(3) == 4"]}
        | {"seconds": mbpp.TEST_SECONDS}
    )
    body = ("while True: pass", "import os\n    while True: os.fork()")[number % 2]
    return Job("functions", f"```python\ndef f(x):  # {number}\n    {body}\n```", gold)


def with_poison(jobs: Sequence[Job], poison: Callable[[int], Job]) -> list[Job]:
    """One job of poison for every hundred, none among the last fifth, so that the end waits for none."""
    mixed: list[Job] = []
    for i, job in enumerate(jobs):
        if i % POISON_EVERY == POISON_EVERY // 2 and i < 0.8 * len(jobs):
            mixed.append(poison(i // POISON_EVERY))
        mixed.append(job)
    return mixed


def timed(name: str, pool: WorkerPool, jobs: Sequence[Job], num_counted: int) -> float:
    """Grade, print and return the rate of the jobs that count."""
    pool.grade([*jobs[:16], *jobs[-16:]])  # load
    start = time.monotonic()
    verdicts = pool.grade(jobs)
    seconds = time.monotonic() - start
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    scores = Counter(verdict.score for verdict in verdicts)
    rate = num_counted / seconds
    print(f"{name:<28}{rate:>9.0f} /s  {seconds:6.1f} s  {dict(outcomes)}  scores {dict(scores)}", flush=True)
    return rate


def compare(name: str, pool: WorkerPool, jobs: Sequence[Job], poison: Callable[[int], Job]) -> None:
    """The rate without and with poison, and the share that is left."""
    clean = timed(f"{name}, clean", pool, jobs, len(jobs))
    mixed = timed(f"{name}, 1 % {poison.__name__}", pool, with_poison(jobs, poison), len(jobs))
    print(f"{name}: {mixed / clean:.0%} of the throughput is left", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", default=["pool", "math", "programs", "poison", "hangs"])
    parser.add_argument("--data", type=Path, default=os.environ.get("THINKWRIGHT_DATA", "../shared/data"))
    options = parser.parse_args()
    with WorkerPool(WORKERS, REGISTRY) as pool:
        if "pool" in options.sections:
            jobs = [Job("nothing", f"an answer {i}", "gold") for i in range(50_000)]
            timed("a rule that does nothing", pool, jobs, len(jobs))
        if "math" in options.sections:
            for name, jobs in (("GSM8K", gsm8k_jobs(options.data, 4000)), ("MATH", math_jobs(options.data, 2000))):
                timed(f"{name} answers", pool, jobs, len(jobs))
        if "programs" in options.sections:
            jobs = program_jobs(options.data, 400)
            timed("programs of three tests", pool, jobs, len(jobs))
        if "poison" in options.sections:
            compare("MATH answers", pool, math_jobs(options.data, 7000), math_poison)
            compare("programs", pool, program_jobs(options.data, 900), program_poison)
        if "hangs" in options.sections:
            compare("MATH answers", pool, math_jobs(options.data, 7000), hanging_grader)


if __name__ == "__main__":
    main()
