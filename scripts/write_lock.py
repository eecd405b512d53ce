"""Writes requirements.lock from the packages of this environment, for plain pip.

torch is pinned without its local label (``+cpu``): pip then takes the CPU build wherever an index or folder known to it
offers one, and the index's own build elsewhere.
"""

import subprocess
import sys
from pathlib import Path

HEADER = """\
# Every package of `make demo` and `make test`, pinned. Written by `make lock`.
# torch: where pip knows an index or folder with the CPU build (2.13.0+cpu), it takes that one; to name the official
# one: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
"""


def main() -> None:
    """Freeze, clean and write."""
    command = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable", "--exclude", "pip"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    pins = sorted((line.split("+")[0] for line in lines), key=str.lower)
    Path("requirements.lock").write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
