"""Asynchronous rollouts on one machine: trainer and engine on a core each, at several bounds of staleness.

Run from the repository's root on an otherwise idle machine: ``make prove-async`` (some forty minutes on two cores).
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil

SETTINGS = ["machine.threads=1", "rollout.engines.count=1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/async"))
    parser.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 4])
    options = parser.parse_args()
    for bound in options.staleness:
        folder = options.out / f"staleness-{bound}"
        run(folder, bound)
        print(row(folder, bound), flush=True)


def run(folder: Path, bound: int) -> None:
    """The tiny R1-Zero run, its engine on core 1 and all else on core 0; finished runs are not made again."""
    if (folder / "summary.json").exists():
        return
    command = [sys.executable, "-m", "thinkwright", "run", "tiny/r1-zero", *SETTINGS, f"rollout.max_staleness={bound}"]
    process = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL)
    threading.Thread(target=pin, args=(psutil.Process(process.pid),), daemon=True).start()
    if process.wait() != 0:
        sys.exit(f"{folder}: the run ended with status {process.returncode}")


def pin(trainer: psutil.Process) -> None:
    """Engines are what the process that forks them has for children."""
    with suppress(psutil.Error):
        while trainer.is_running():
            for process in [trainer, *trainer.children(recursive=True)]:
                with suppress(psutil.Error):
                    parent = process.parent()
                    is_engine = parent is not None and any("multiprocessing.forkserver" in w for w in parent.cmdline())
                    process.cpu_affinity([1 if is_engine else 0])
            time.sleep(1)


def row(folder: Path, bound: int) -> str:
    """What one run came to."""
    summary = json.loads((folder / "summary.json").read_text())
    rows: list[dict[str, Any]] = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steady = rows[5:]
    means = {
        name: fmean(found.get(name, 0.0) for found in steady)
        for name in ("time/step_seconds", "time/rollout_seconds", "time/update_seconds", "rollout/staleness")
    }
    told = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
    return f"staleness {bound}: accuracy {summary['after']['accuracy']:.1%}, {summary['wall_seconds']:.0f} s  {told}"


if __name__ == "__main__":
    main()
