"""Plans held against the runs they foretell: time and memory of five recipes on this machine, one after the other.

``python -m bench.plan LIKE R1``: LIKE is a run folder of ``tiny/r1-zero`` with another seed, R1 one of ``tiny/r1``,
whose stages' rows and models the other recipes start from. Each recipe is planned, run whole, and planned again, since
a shared machine's speed drifts meanwhile: the run is held against the mean of both plans. Where completions change as a
policy learns, lengths are those of a run with another seed. Nothing else may run meanwhile (some half an hour).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from thinkwright.config.load import load_recipe
from thinkwright.planning.expected import Expected, expected_like
from thinkwright.planning.from_probe import plan_of_probe
from thinkwright.planning.probe import probe


def recipes(like: Path, r1: Path) -> list[tuple[str, list[str], Expected]]:
    """Names, overrides, and what is known of their completions."""
    stages = r1 / "stages"
    teacher = [f"teacher={stages}/09-all-scenarios/model"]
    return [
        ("tiny/r1-zero", ["seed=1"], expected_like(like)),
        ("tiny/cold-start", [f'data=["{stages}/02-cold-data/examples.jsonl"]'], Expected()),
        ("tiny/reasoning", [f"model={stages}/03-cold-start/model", "steps=12"], Expected()),
        ("tiny/helpful", [f"model={stages}/06-fine-tuning/model"], Expected()),
        ("tiny/distill", teacher, _other_seed("tiny/distill", teacher)),
    ]


def _other_seed(name: str, overrides: list[str]) -> Expected:
    with tempfile.TemporaryDirectory() as place:
        _run(name, [*overrides, "seed=1"], Path(place))
        return expected_like(Path(place) / "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("like", type=Path)
    parser.add_argument("r1", type=Path)
    parser.add_argument("--only", nargs="+", metavar="RECIPE")
    options = parser.parse_args()
    for name, overrides, expected in recipes(options.like.resolve(), options.r1.resolve()):
        if options.only and name not in options.only:
            continue
        recipe = load_recipe(name, overrides)
        plans = [plan_of_probe(name, recipe, probe(recipe, expected), expected, None)]
        with tempfile.TemporaryDirectory() as place:
            seconds, peak = _run(name, overrides, Path(place))
            after = json.loads((Path(place) / "run" / "summary.json").read_text(encoding="utf-8")).get("after", {})
        plans.append(plan_of_probe(name, recipe, probe(recipe, expected), expected, None))
        planned_seconds = fmean(plan.hours * 3600 for plan in plans)
        planned_peak = fmean(plan.memory[0][0].peak for plan in plans)
        row = {
            "recipe": name,
            "planned_seconds": [round(plan.hours * 3600, 1) for plan in plans],
            "seconds": round(seconds, 1),
            "time_ratio": round(planned_seconds / seconds, 3),
            "planned_mb": round(planned_peak / 1e6),
            "mb": round(peak / 1e6),
            "memory_ratio": round(planned_peak / peak, 3),
            "accuracy": after.get("accuracy", after.get("held_out_accuracy")),
        }
        print(json.dumps(row), flush=True)


def _run(name: str, overrides: list[str], place: Path) -> tuple[float, int]:
    """Seconds and the highest memory of the run's process, as the system counts it."""
    command = [sys.executable, "-m", "thinkwright", "run", name, *overrides, "--out", str(place / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} ended with {status}")
    summary = json.loads((place / "run" / "summary.json").read_text(encoding="utf-8"))
    return summary["wall_seconds"], usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
