"""Faults at random instants throughout a pipeline of every kind of stage: it ends as one that nothing stopped.

Run from the repository's root on Linux: ``make faults`` (about an hour on two cores). The pipeline runs once by itself.
Then it runs again and again, struck after a random time and started with the same command, until it ends; every metric,
rollout, evaluation, checkpoint and model must be the same, bit for bit. The faults are ``kill -9``, and a disk (its
own, in a mount namespace) that fills up or turns read-only: of that the run must end by itself, with words.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

from scripts.fault_pipeline import begin, contents, differences, ended, write_recipes

DISK_BYTES = 1_500_000_000
NOTICE_SECONDS = 60.0
"""Within which a run must meet a broken disk: it writes at least as often."""
WORDS = re.compile(r"thinkwright: .*(No space left on device|Read-only file system).*--(resume|out)")
Strike = Callable[[int, Path, Path], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", choices=STRIKES, default="kill")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/faults"))
    parser.add_argument("--disk", type=Path, help="where the breakable disk is; set by the script itself")
    options = parser.parse_args()
    out: Path = options.out / options.fault
    if options.fault != "kill" and options.disk is None:
        sys.exit(again_with_a_disk(out / "disk"))
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    recipe, disk = write_recipes(out), options.disk or out
    start = time.monotonic()
    code = ended(begin(recipe, out / "whole", out / "whole.txt"))
    seconds = time.monotonic() - start
    if code != 0:
        sys.exit(f"{out / 'whole.txt'}: the pipeline ended with {code} by itself")
    expected, rng, struck = contents(out / "whole"), Random(options.seed), Counter[str]()
    print(f"by itself: {seconds:.0f} s, {len(expected)} files", flush=True)
    trial = 0
    while sum(struck.values()) < options.times:
        place, log = disk / f"struck-{trial}", out / f"struck-{trial}.txt"
        found = struck_again_and_again(STRIKES[options.fault], recipe, place, log, rng, seconds / 3)
        struck += found
        if differing := differences(expected, contents(place)):
            sys.exit(f"{place}: not as by itself: {', '.join(differing[:20])}")
        print(f"trial {trial}: {sum(found.values())} times, every file the same", flush=True)
        shutil.rmtree(place)
        trial += 1
    (out / "struck.json").write_text(json.dumps(struck, indent=1) + "\n")
    print(f"{options.fault}: {sum(struck.values())} times in {trial} pipelines, all files the same: {dict(struck)}")


def again_with_a_disk(disk: Path) -> int:
    """This same command, where ``disk`` is a disk of its own that may be filled and mounted anew. Needs bubblewrap."""
    disk.mkdir(parents=True, exist_ok=True)
    place = str(disk.resolve())
    space = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", "0", "--gid", "0", "--die-with-parent"]
    space += ["--cap-add", "CAP_SYS_ADMIN", "--size", str(DISK_BYTES), "--tmpfs", place]
    command = [sys.executable, "-m", "scripts.faults", *sys.argv[1:], "--disk", place]
    return subprocess.run([*space, *command], check=False).returncode


def struck_again_and_again(
    strike: Strike, recipe: Path, place: Path, log: Path, rng: Random, longest: float
) -> Counter[str]:
    """Until the pipeline has come to its end; how often each stage was struck."""
    struck = Counter[str]()
    while True:
        number = begin(recipe, place, log)
        code = ended(number, rng.uniform(0, longest))
        if code == 0:
            return struck
        if code is not None:
            sys.exit(f"{log}: ended with {code} after {sum(struck.values())} faults")
        strike(number, place, log)
        struck[stage_of(place)] += 1


def kill(number: int, place: Path, log: Path) -> None:
    os.killpg(number, signal.SIGKILL)
    ended(number)


def fill_disk(number: int, place: Path, log: Path) -> None:
    ballast = place.parent / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 20)):
                pass
        except OSError:
            pass  # full
    expect_words(number, log)
    ballast.unlink()


def lock_disk(number: int, place: Path, log: Path) -> None:
    run = place / "out"
    run.mkdir(exist_ok=True)
    # A disk with files that are being written can only be locked by its own faults; a second mount of it has none.
    subprocess.run(["mount", "--bind", str(run), str(run)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(run)], check=True)
    expect_words(number, log)
    subprocess.run(["umount", str(run)], check=True)


def expect_words(number: int, log: Path) -> None:
    """The run ends by itself, or comes to its end all the same, and says what to do."""
    code = ended(number, NOTICE_SECONDS)
    last = log.read_text(errors="replace")[-2000:]
    if code not in (0, 1) or (code == 1 and ("Traceback" in last or not WORDS.search(last))):
        if code is None:
            os.killpg(number, signal.SIGKILL)
        sys.exit(f"{log}: a broken disk ended it with {code}, without the words for it")


def stage_of(place: Path) -> str:
    """The stage that was at work; between two of them, the hand-over."""
    for path in sorted(place.glob("out/stages/[0-9]*.json")):
        if json.loads(path.read_text())["status"] != "finished":
            return path.stem.partition("-")[2]
    return "hand-over"


STRIKES: dict[str, Strike] = {"kill": kill, "full-disk": fill_disk, "read-only-disk": lock_disk}

if __name__ == "__main__":
    main()
