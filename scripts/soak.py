"""A tiny run for hours while graders and its engine are killed and stopped at random: nothing grows, nothing is lost.

Run from the repository's root: ``make soak`` (two hours). Memory, open files, threads and processes of the run are read
every few seconds; the medians of the first and of the last sixth are held against each other, once all is warm. Then
every step's rollouts must add up.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median

import psutil

SETTINGS = ["steps=1000000", "optimizer.lr=1e-12", "optimizer.decay=constant", "gate=default", "checkpoint_steps=20"]
SETTINGS += ["evaluation.every_steps=50", "rewards.max_error_share=1.0", "machine.threads=1"]
SETTINGS += ["rollout.engines.count=1", "rollout.engines.deadline_seconds=20"]
"""The policy stays as it is: completions that grow longer would take more memory by right."""
LOOK_SECONDS, FAULT_SECONDS = 5.0, 20.0
WARM_SHARE = 1 / 12
"""Of the whole time: what is read before then does not count."""
MAX_GROWTH = 0.02
WATCHED = ("memory", "trainer_memory", "files", "threads", "processes")
PARTS = ("learned", "without_variance", "left_out", "not_graded")


@dataclass(frozen=True)
class Reading:
    """Of the trainer and all its processes together, if not said otherwise."""

    seconds: float
    memory: int
    trainer_memory: int
    files: int
    threads: int
    processes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    command = [sys.executable, "-m", "thinkwright", "run", "tiny/r1-zero", *SETTINGS, "--out", str(options.out / "run")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        readings, faults = watched(process, options.minutes * 60)
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(timeout=300)
        finally:
            process.kill()
    if code != 130:
        sys.exit(f"{options.out}: the run ended with {code}, not by Ctrl-C")
    grown = growth(readings)
    steps, sums = accounts(options.out / "run" / "metrics.jsonl")
    told = {"minutes": options.minutes, "steps": steps, "faults": faults, "growth": grown, "rollouts": sums}
    (options.out / "soak.json").write_text(json.dumps(told | {"readings": [asdict(r) for r in readings]}) + "\n")
    print(json.dumps(told, indent=1))
    if too_much := {name: share for name, share in grown.items() if share > MAX_GROWTH}:
        sys.exit(f"grown by more than {MAX_GROWTH:.0%}: {too_much}")


def watched(process: "subprocess.Popen[bytes]", seconds: float) -> tuple[list[Reading], Counter[str]]:
    """What was read of a run while its helpers were killed and stopped, and how often they were."""
    trainer, rng, faults = psutil.Process(process.pid), Random(0), Counter[str]()
    readings, start = list[Reading](), time.monotonic()
    next_fault = start + FAULT_SECONDS
    while (now := time.monotonic()) - start < seconds:
        if process.poll() is not None:
            sys.exit(f"the run ended by itself with {process.returncode}")
        if now >= next_fault:
            faults[disturbed(trainer, rng)] += 1
            next_fault = now + rng.expovariate(1 / FAULT_SECONDS)
        readings.append(read(trainer, now - start))
        time.sleep(LOOK_SECONDS)
    return readings, faults


def disturbed(trainer: psutil.Process, rng: Random) -> str:
    """What was done to one of those that serve it."""
    # Each of the run's own children is a nursery, which is not replaced; graders and engines are born of it.
    helpers = [helper for nursery in trainer.children() for helper in nursery.children(recursive=True)]
    if not helpers:
        return "none there"
    helper, number = rng.choice(helpers), rng.choice((signal.SIGKILL, signal.SIGSTOP))
    try:
        kind = "engine" if any("forkserver" in word for word in helper.cmdline()) else "grader"
        helper.send_signal(number)
    except psutil.NoSuchProcess:
        return "gone already"
    return f"{kind} {number.name}"


def read(trainer: psutil.Process, seconds: float) -> Reading:
    found = Counter[str]()
    for process in (trainer, *trainer.children(recursive=True)):
        try:
            with process.oneshot():
                own = {
                    "memory": process.memory_info().rss,
                    "files": process.num_fds(),
                    "threads": process.num_threads(),
                }
        except psutil.Error:  # it has ended meanwhile
            continue
        found.update(own)
        found["processes"] += 1
        if process.pid == trainer.pid:
            found["trainer_memory"] = own["memory"]
    return Reading(seconds=seconds, **{name: found[name] for name in WATCHED})


def growth(readings: Sequence[Reading]) -> dict[str, float]:
    """From the first sixth to the last, as a share of the first, by kind."""
    warm = [reading for reading in readings if reading.seconds >= WARM_SHARE * readings[-1].seconds]
    part = max(1, len(warm) // 6)
    return {
        name: median(getattr(r, name) for r in warm[-part:]) / median(getattr(r, name) for r in warm[:part]) - 1
        for name in WATCHED
    }


def accounts(path: Path) -> tuple[int, dict[str, int]]:
    """How many steps there were, and what became of their rollouts. Ends the program if a step does not add up."""
    sums = Counter[str]()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        counts = {name: int(row[f"rollout/{name}"]) for name in PARTS}
        if sum(counts.values()) != row["rollout/sampled"]:
            sys.exit(f"step {row['step']}: {counts} are not {row['rollout/sampled']} rollouts")
        sums.update(counts)
    return len(rows), dict(sums)


if __name__ == "__main__":
    main()
