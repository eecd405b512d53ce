"""On a disk that is really full nothing half written takes a name, and what was there stays."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model_folders import write_model_folder

DISK_BYTES = 4_000_000
REMEDIES = ("free space there, then --resume", "free space there or give --out")


def can_make_disks() -> bool:
    """Whether bubblewrap is there, may make namespaces, and knows of sizes (0.7 and newer)."""
    command = ["bwrap", "--dev-bind", "/", "/", "--size", "4096", "--tmpfs", "/mnt", "true"]
    return (
        shutil.which("bwrap") is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_make_disks(), reason="needs bubblewrap")
def test_checkpoints_models_and_exports_are_whole_or_not_there(tmp_path: Path) -> None:
    model, disk = write_model_folder(tmp_path / "given", "qwen2", tie_word_embeddings=True), tmp_path / "disk"
    disk.mkdir()
    space = ["bwrap", "--dev-bind", "/", "/", "--size", str(DISK_BYTES), "--tmpfs", str(disk)]
    command = [*space, sys.executable, "-m", "tests.training.full_disk_work", str(model), str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 17
    for row in rows:
        assert row["raised"].startswith(str(disk)), row
        assert re.search(r"No space left on device|\d requested and \d+ written", row["raised"]), row
        assert row["raised"].endswith(REMEDIES), row
        assert len(row["raised"].splitlines()) == 1, row
        assert row["left"] == [], row
        assert row["step"] == 1
