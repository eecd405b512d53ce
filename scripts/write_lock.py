"""Writes requirements.lock and requirements-test.lock from the packages of this environment, for plain pip.

The first holds what the program needs, the second what only its tests and extras need. torch is pinned without its
local label (``+cpu``): pip then takes the CPU build wherever an index or folder known to it offers one, and the index's
own build elsewhere.
"""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAD = """\
# Every package of `make demo`, pinned. Written by `make lock`.
# torch: where pip knows an index or folder with the CPU build (2.13.0+cpu), it takes that one; to name the official
# one: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
"""
TEST_HEAD = """\
# What `make test` needs beside requirements.lock, pinned. Written by `make lock`.
"""
BUILD = ("setuptools", "wheel")
"""What the package is installed with."""


def main() -> None:
    """Freeze, divide, clean and write."""
    command = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable", "--exclude", "pip"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    pins = sorted((line.split("+")[0] for line in lines), key=str.lower)
    installed = {canonicalize_name(pin.split("==")[0]): pin for pin in pins}
    needed = needed_by("thinkwright", set(installed)) | set(BUILD)
    core = [pin for name, pin in installed.items() if name in needed]
    rest = [pin for name, pin in installed.items() if name not in needed]
    Path("requirements.lock").write_text(HEAD + "\n".join(core) + "\n", encoding="utf-8")
    Path("requirements-test.lock").write_text(TEST_HEAD + "\n".join(rest) + "\n", encoding="utf-8")


def needed_by(root: str, installed: set[str]) -> set[str]:
    """The installed packages that ``root`` needs, directly or not, without its extras."""
    found: set[str] = set()
    waiting = [(root, frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        for line in requires(name) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                continue
            other = canonicalize_name(requirement.name)
            if other in installed and other not in found:
                found.add(other)
                waiting.append((other, frozenset(requirement.extras)))
    return found


if __name__ == "__main__":
    main()
