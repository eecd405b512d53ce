"""Methods against each other on the tiny world: same prompts, same steps, learning rate tuned alike, several seeds.

Run from the repository's root: ``make compare`` (hours on two cores; finished runs are not made again, so it may be
stopped and started). Each method first makes one run with each learning rate, on a seed that is not counted; the rate
with the best held-out accuracy is then run on every seed. Methods are ranked only where the 95 % interval of the
difference to the default, paired by seed, leaves out 0.

Runs go side by side, a core each. What a step takes is the median of a run's steps, and of a method's runs the least:
that of the one which other work on the machine disturbed least.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean, median, stdev
from typing import Any

from thinkwright.config.tasks import EXAMINED_FAMILIES
from thinkwright.tasks.tiny_world.puzzle import Puzzle
from thinkwright.tasks.tiny_world.world import training_puzzles
from thinkwright.tasks.tiny_world.writer import CAREFUL_OPENERS

NO_KL = ["algorithm.kl_coef=0", "algorithm.reference_refresh_steps=default"]
METHODS: dict[str, list[str]] = {
    "default": [],
    "grpo": ["algorithm.reduction=sequence_mean"],
    "dr_grpo": ["algorithm.advantage=group_mean", "algorithm.reduction=fixed_length", *NO_KL],
    "dapo": [*NO_KL, "algorithm.truncated=mask", "rewards.overlong=1", "rollout.refill_rounds=2"],
    "reinforce++": ["algorithm.advantage=batch_std", "algorithm.kl=k1", "algorithm.kl_in=reward"],
    "lite_ppo": ["algorithm.advantage=batch_reward_std", *NO_KL],
    "rloo": ["algorithm.advantage=leave_one_out", "algorithm.loss=policy_gradient"],
    "maxrl": ["algorithm.advantage=maximum_likelihood", "rewards.format=0"],
    "gdpo": ["rewards.normalize=per_reward", "algorithm.advantage=batch_std"],
    "gspo": ["algorithm.loss=gspo", "algorithm.reduction=sequence_mean"],
    "cispo": ["algorithm.loss=cispo"],
    "dppo": ["algorithm.loss=dppo"],
    "sapo": ["algorithm.loss=sapo"],
    "kl_cov": ["algorithm.entropy=kl_cov"],
    "high_entropy": ["algorithm.entropy=high_entropy"],
    "modern": ["use=modern"],
    "ppo": ["algorithm.advantage=gae", "critic.lr=4e-4", "critic.pretrain_steps=2"],
    "luffy": ['teacher_traces.data=["traces.jsonl"]', *NO_KL],
}
RATES = (1e-4, 2e-4, 4e-4)
TUNING_SEED = 100
PROMPTS = 16
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t at 95 % by number of values."""


@dataclass(frozen=True)
class Row:
    """One run."""

    accuracy: float
    pass_at_16: float
    tokens: float
    entropy: float
    worst_drop: float
    """The most that the mean reward of five steps fell from the best before: a run that breaks shows here."""
    step_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side")
    options = parser.parse_args()
    make = partial(run, options.out, steps=options.steps, threads=max(1, (os.cpu_count() or 1) // options.jobs))
    with ThreadPoolExecutor(options.jobs) as pool:
        tuned = [(method, rate) for method in options.methods for rate in RATES]
        rows = dict(zip(tuned, pool.map(lambda key: make(*key, TUNING_SEED), tuned), strict=True))
        rates = {m: max(RATES, key=lambda rate: rows[m, rate].accuracy) for m in options.methods}
        for method in options.methods:
            print(f"{method}: {', '.join(f'{rate:g} {rows[method, rate].accuracy:.1%}' for rate in RATES)}", flush=True)
        counted = [(method, seed) for seed in range(options.seeds) for method in options.methods]
        found = dict(zip(counted, pool.map(lambda key: make(key[0], rates[key[0]], key[1]), counted), strict=True))
    by_method = {method: [found[method, seed] for seed in range(options.seeds)] for method in options.methods}
    print(table(by_method, rates), flush=True)
    write_json(
        options.out / "methods.json", {method: told_of(rows, rates[method]) for method, rows in by_method.items()}
    )


def run(out: Path, method: str, rate: float, seed: int, *, steps: int, threads: int) -> Row:
    """A whole run, or what it left."""
    folder = out / f"{method}-{steps}" / f"lr-{rate:g}-seed-{seed}"
    if not is_finished(folder):
        train(folder, method, rate, seed, steps, samples=4 if seed == TUNING_SEED else 16, threads=threads)
    summary = json.loads((folder / "summary.json").read_text())
    rows = metrics(folder)
    after = summary["after"]
    rewards = [row["reward/accuracy"] for row in rows]
    means = [fmean(rewards[i : i + 5]) for i in range(len(rewards) - 4)]
    drop = max(max(means[: i + 1]) - mean for i, mean in enumerate(means))
    entropy = next(row["policy/entropy"] for row in reversed(rows) if "policy/entropy" in row)
    seconds = median(row["time/step_seconds"] for row in rows)
    return Row(after["accuracy"], after.get("pass_at_16", 0.0), summary["rollout_tokens"], entropy, drop, seconds)


def train(folder: Path, method: str, rate: float, seed: int, steps: int, *, samples: int, threads: int) -> None:
    """Half of the recipe's prompts a step, in four mini-batches, so that ratios leave 1 and losses differ."""
    settings = [f"steps={steps}", f"seed={seed}", f"optimizer.lr={rate}", f"machine.threads={threads}", "gate=default"]
    settings += [f"rollout.prompts_per_step={PROMPTS}", "algorithm.mini_batches=4", "checkpoint_steps=1000"]
    settings += ["evaluation.every_steps=1000", f"evaluation.samples_per_question={samples}"]
    if method == "luffy":
        path = folder.with_name(f"{folder.name}-traces.jsonl").absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_traces(path, seed, steps, PROMPTS)
        settings.append(f'teacher_traces.data=["{path}"]')
    resume = ["--resume"] * (folder / "recipe.json").exists()
    command = ["run", "tiny/r1-zero", *METHODS[method], *settings, "--out", str(folder), *resume]
    done = subprocess.run(
        [sys.executable, "-m", "thinkwright", *command],
        stdout=subprocess.DEVNULL,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode != 0:
        sys.exit(f"{folder}: the run ended with status {done.returncode}")


def told_of(rows: Sequence[Row], rate: float) -> dict[str, Any]:
    """What ``bench.plot_methods`` draws of a method."""
    seeds = [asdict(row) for row in rows]
    return {"rate": rate, "seeds": seeds, "intervals": {key: interval([row[key] for row in seeds]) for key in seeds[0]}}


def write_traces(path: Path, seed: int, steps: int, prompts_per_step: int) -> None:
    """Careful answers to the questions that the tiny world asks in a run of that seed, for LUFFY's teacher."""
    rows: list[dict[str, str]] = []
    for step in range(steps):
        asked: dict[str, Puzzle] = {}
        puzzles = training_puzzles(Random(f"prompts/{seed}/{step}"), EXAMINED_FAMILIES)
        while len(asked) < prompts_per_step:
            puzzle = next(puzzles)
            asked.setdefault(puzzle.question, puzzle)
        for puzzle in asked.values():
            thought = "\n".join([CAREFUL_OPENERS[puzzle.language][0], *puzzle.steps[puzzle.language]])
            rows.append({"question": puzzle.question, "thought": thought, "answer": puzzle.answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def write_json(path: Path, found: Any) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n")


def is_finished(folder: Path) -> bool:
    """Whether a run came to its end there: an interrupted one leaves a summary as well."""
    path = folder / "summary.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"


def table(found: dict[str, list[Row]], rates: dict[str, float]) -> str:
    """Markdown, one line a method, the best mean first."""
    lines = ["| method | lr | accuracy | pass@16 | against default | tokens | s / step | entropy | worst drop |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for method, rows in sorted(found.items(), key=lambda item: -fmean(row.accuracy for row in item[1])):
        pairs = zip(rows, found.get("default", rows), strict=True)
        difference = interval([ours.accuracy - theirs.accuracy for ours, theirs in pairs])
        cells = [
            method,
            f"{rates[method]:g}",
            told(interval([row.accuracy for row in rows])),
            told(interval([row.pass_at_16 for row in rows])),
            told(difference) + (" *" if difference[0] - difference[1] > 0 or difference[0] + difference[1] < 0 else ""),
            f"{fmean(row.tokens for row in rows) / 1e3:,.0f} k",
            f"{min(row.step_seconds for row in rows):.2f}",
            f"{fmean(row.entropy for row in rows):.3f}",
            f"{max(row.worst_drop for row in rows):.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval; an infinite one of a single value."""
    if len(values) < 2:
        return fmean(values), float("inf")
    return fmean(values), T95.get(len(values), 1.96) * stdev(values) / len(values) ** 0.5


def told(found: tuple[float, float]) -> str:
    return f"{100 * found[0]:.1f} ± {100 * found[1]:.1f}"


if __name__ == "__main__":
    main()
