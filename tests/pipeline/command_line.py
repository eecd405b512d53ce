"""The program as a user starts it, and what its metrics say apart from the clock."""

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from thinkwright.cli import main

REPOSITORY = Path(__file__).parents[2]


def run(command: Sequence[str], expect: int = 0) -> subprocess.CompletedProcess[str]:
    """What ``python -m thinkwright ...`` does, without the seconds that a process of its own takes to import torch.

    Those that tests kill are started as processes.
    """
    assert command[:3] == [sys.executable, "-m", "thinkwright"]
    out, err, threads = io.StringIO(), io.StringIO(), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["thinkwright", *command[3:]])
        patch.chdir(REPOSITORY)
        try:
            code = main(list(command[3:]))
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        finally:
            torch.set_num_threads(threads)
    assert code == expect, err.getvalue()[-3000:]
    return subprocess.CompletedProcess(list(command), code, out.getvalue(), err.getvalue())


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Metric rows without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/") and "per_second" not in k} for row in rows]
