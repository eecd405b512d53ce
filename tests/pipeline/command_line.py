"""The program as a user starts it, in its own process, and what its metrics say apart from the clock."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def run(command: Sequence[str], expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=REPOSITORY)
    assert done.returncode == expect, done.stderr[-3000:]
    return done


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Metric rows without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/") and "per_second" not in k} for row in rows]
