"""The wheel in an empty environment: it installs, runs, answers at once, and names what an absent extra would need.

Run from the repository's root: ``make package`` (some minutes for each Python). torch is taken as requirements.lock
pins it; everything else as the wheel asks for it, newest first.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

MAX_BYTES = 15_000_000
HELP_SECONDS, IMPORT_SECONDS = 0.3, 0.2
SMALL = ["gate=default", "steps=1", "rollout.prompts_per_step=2", "rollout.group_size=2"]
SMALL += ["rollout.max_response_tokens=8", "evaluation.samples_per_question=1"]
NEEDS = {
    "export": ["export", "run", "--to", "gguf", "--out", "gguf"],
    "lora": ["run", "tiny/r1-zero", "lora.rank=4", "--out", "lora"],
    "ray": ["run", "tiny/r1-zero", "--ray", "--out", "ray"],
    "mirrors": ["mirror", "run", "--to", "tensorboard"],
    "hub": ["run", "hub.toml", "--out", "hub"],
    "puzzles": ["run", "puzzles.toml", "--out", "puzzles"],
}
"""A command that wants each extra; all but the first are refused before anything is computed."""
RECIPE = 'type = "rl"\nmodel = "tiny-base"\nsteps = 1\n[task]\n'
FILES = {
    "hub.toml": RECIPE + 'type = "named"\nname = "gsm8k"\ndata = "hub"\n',
    "puzzles.toml": RECIPE + 'type = "named"\nname = "reasoning_gym"\n',
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="+", default=[sys.executable])
    parser.add_argument("--out", type=Path, default=Path("build/package"))
    options = parser.parse_args()
    for made in (options.out, Path("build/lib")):  # a build takes along what an earlier one left
        shutil.rmtree(made, ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(options.out), ".")
    (wheel,) = options.out.glob("*.whl")
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 1e6:.1f} MB", flush=True)
    if size > MAX_BYTES:
        sys.exit(f"{wheel}: over {MAX_BYTES / 1e6:.0f} MB")
    for number, python in enumerate(options.pythons):
        check(python, wheel.resolve(), (options.out / str(number)).resolve())


def check(python: str, wheel: Path, place: Path) -> None:
    """Install the wheel for one Python and use it in a folder where nothing else is."""
    version = run(python, "-c", "import sys; print(*sys.version_info[:3], sep='.')").strip()
    run(python, "-m", "venv", str(place / "env"))
    bin_ = place / "env" / "bin"
    torch = next(line for line in Path("requirements.lock").read_text().splitlines() if line.startswith("torch=="))
    run(str(bin_ / "pip"), "install", "--quiet", torch, str(wheel))
    work = place / "work"
    work.mkdir()
    for name, text in FILES.items():
        (work / name).write_text(text)
    command, python = str(bin_ / "thinkwright"), str(bin_ / "python")
    times = {
        "--help": (fastest(work, command, "--help"), HELP_SECONDS),
        "run --help": (fastest(work, command, "run", "--help"), HELP_SECONDS),
        "import": (fastest(work, python, "-c", "import thinkwright"), IMPORT_SECONDS),
    }
    for what, (seconds, limit) in times.items():
        if seconds > limit:
            sys.exit(f"Python {version}: {what} takes {seconds:.2f} s, over {limit} s")
    run(command, "run", "tiny/r1-zero", *SMALL, "--out", "run", cwd=work)
    run(command, "chat", "run", "--once", "What is 1 plus 1?", cwd=work)
    run(command, "export", "run", "--to", "hf", "--out", "hf", cwd=work)
    for extra, words in NEEDS.items():
        done = subprocess.run([command, *words], cwd=work, capture_output=True, text=True, check=False)
        if done.returncode != 1 or not re.search(rf"pip install ['\"]thinkwright\[{extra}\]['\"]", done.stderr):
            sys.exit(f"Python {version}: {' '.join(words)}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    told = ", ".join(f"{what} {seconds:.2f} s" for what, (seconds, _) in times.items())
    print(f"Python {version}: {told}; runs, chats, exports; {len(NEEDS)} absent extras are named", flush=True)


def fastest(place: Path, *command: str) -> float:
    """Seconds of the fastest of seven times."""
    seconds: list[float] = []
    for _ in range(7):
        start = time.monotonic()
        run(*command, cwd=place)
        seconds.append(time.monotonic() - start)
    return min(seconds)


def run(*command: str, cwd: Path | None = None) -> str:
    """What a command prints. Ends this program if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
