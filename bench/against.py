"""This code against an earlier commit: time of the same training run, in turns.

``python -m bench.against COMMIT [RECIPE key=value ...]``: the earlier code is checked out beside (build/against) and
run by the same interpreter. The learning rate is next to nothing, so that both sample the same completions. Each pair
runs one after the other, which goes first changes; told are the ratios of the pairs (this code / earlier one).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path("build/against")
SETTINGS = ["steps=12", "checkpoint_steps=4", "evaluation.every_steps=6", "optimizer.lr=1e-9", "gate=default"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("recipe", nargs="?", default="tiny/r1-zero")
    parser.add_argument("overrides", nargs="*", default=SETTINGS)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    shutil.rmtree(ROOT, ignore_errors=True)
    subprocess.run(["git", "worktree", "prune"], check=True)
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(ROOT / "code"), options.commit], check=True)
    places = {"now": Path.cwd(), "earlier": (ROOT / "code").resolve()}
    ratios: dict[str, list[float]] = {}
    for number in range(options.pairs):
        order = sorted(places, reverse=number % 2 == 0)
        found = {name: measured(places[name], options.recipe, options.overrides) for name in order}
        for figure, value in found["now"].items():
            ratios.setdefault(figure, []).append(value / found["earlier"][figure])
        print(json.dumps(found), flush=True)
    for figure, values in ratios.items():
        spread = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        print(f"{figure}: {statistics.mean(values):.3f} +- {spread:.3f} (standard error), {len(values)} pairs")
    subprocess.run(["git", "worktree", "remove", "--force", str(ROOT / "code")], check=True)


def measured(code: Path, recipe: str, overrides: list[str]) -> dict[str, float]:
    """Seconds of the steps, of the whole command, and of the processors, of one run with the code of that folder."""
    out = (ROOT / "run").resolve()
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "thinkwright", "run", recipe, *overrides, "--out", str(out)]
    before, start = os.times(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=code, env=os.environ | {"PYTHONPATH": str(code)})
    seconds, after = time.monotonic() - start, os.times()
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {
        "steps": sum(row["time/step_seconds"] for row in rows[1:]),
        "whole": seconds,
        "processors": after.children_user + after.children_system - before.children_user - before.children_system,
    }


if __name__ == "__main__":
    main()
