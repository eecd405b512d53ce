"""The tests with the lowest or the newest versions that pyproject.toml allows, in an environment of their own.

Run from the repository's root: ``make dependencies PYTHONS="python3.11 python3.13"`` (some ten minutes for each). torch
is the build that requirements.lock pins, since older ones for the CPU are not on PyPI; what only tests need is as pip
takes it.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

EXTRAS = ("export", "hub", "puzzles", "lora", "ray")
"""Whose lowest versions are tried, too; the mirrors' and peers' packages are no part of the tests."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="+", default=[sys.executable])
    parser.add_argument("--versions", choices=("lowest", "newest"), default="lowest")
    parser.add_argument("--out", type=Path, default=Path("build/dependencies"))
    options = parser.parse_args()
    for python in options.pythons:
        place = options.out / f"{options.versions}-{Path(python).name}"
        check(python, wanted(options.versions), place.resolve())


def wanted(versions: str) -> list[str]:
    """What pip is asked for."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = [Requirement(text) for text in (*project["dependencies"], *(text for e in EXTRAS for text in extras[e]))]
    names = {requirement.name for requirement in own}
    tools = [text for text in extras["dev"] if Requirement(text).name not in names]
    torch = next(line for line in Path("requirements.lock").read_text().splitlines() if line.startswith("torch=="))
    chosen = [_lowest(one) if versions == "lowest" else str(one) for one in own if one.name != "torch"]
    return [torch, *chosen, *tools]


def _lowest(requirement: Requirement) -> str:
    lower = next(bound.version for bound in requirement.specifier if bound.operator == ">=")
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={lower}{marker}"


def check(python: str, requirements: list[str], place: Path) -> None:
    """Make the environment, if it is not there, and run the tests in it. Ends the program if one fails."""
    if not (place / "installed").exists():
        subprocess.run([python, "-m", "venv", "--clear", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", *requirements], check=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", "--no-deps", "."], check=True)
        (place / "installed").touch()
    version = subprocess.run([place / "bin" / "python", "--version"], check=True, capture_output=True, text=True)
    print(version.stdout.strip(), *requirements, flush=True)
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    command = [place / "bin" / "python", "-m", "pytest", "-n", "3", "--dist", "worksteal"]
    if code := subprocess.run(command, env=os.environ | own, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
