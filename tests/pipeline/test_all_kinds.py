"""A pipeline of all kinds of stages, killed in every one of them, ends as one that nothing stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.fault_pipeline import write_recipes

REPOSITORY = Path(__file__).parents[2]
KILLED_AT = {
    "01-base": "metrics.jsonl",
    "02-zero": "metrics.jsonl",
    "03-data": "metrics.jsonl",
    "04-tuned": "metrics.jsonl",
    "05-judge": "metrics.jsonl",
    "06-all": "metrics.jsonl",
    "07-ppo": "metrics.jsonl",
    "08-student": "metrics.jsonl",
    "09-table": "eval/Zero.json",
}
"""What stands in a stage's folder once it has done a part of its work."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_recipes(tmp_path)


def start(file: Path, place: Path) -> subprocess.Popen[bytes]:
    """The command in a folder of its own, so that relative paths, which rows are told with, are the same everywhere."""
    place.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "thinkwright", "run", str(file), "--out", "out"]
    with (place / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=place, env=os.environ | {"PYTHONPATH": paths}, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes], place: Path) -> None:
    assert process.wait(timeout=600) == 0, (place / "log.txt").read_text()[-3000:]


def made(place: Path) -> dict[str, Any]:
    """Hashes of every model, of the rows and of the table, and the figures, by stage."""
    found: dict[str, Any] = {}
    for path in sorted((place / "out/stages").glob("[0-9]*.json")):
        manifest = json.loads(path.read_text())
        assert manifest["status"] == "finished"
        hashes = {name: output["sha256"] for name, output in manifest["outputs"].items()}
        found[path.stem] = hashes, manifest["figures"]
    return found


@pytest.mark.slow
def test_killed_in_every_stage_the_same_command_gives_what_an_uninterrupted_one_gives(
    file: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    end(start(file, whole), whole)
    for stage, sign in KILLED_AT.items():
        process = start(file, killed)
        deadline = time.monotonic() + 300
        while not (killed / "out/stages" / stage / sign).exists():
            assert process.poll() is None, (killed / "log.txt").read_text()[-3000:]
            assert time.monotonic() < deadline, f"stage {stage} never came to {sign}"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert json.loads((killed / f"out/stages/{stage}.json").read_text())["status"] == "running"
    end(start(file, killed), killed)
    log = (killed / "log.txt").read_text()
    assert log.count("was stopped, goes on") >= len(KILLED_AT)
    assert list(made(killed)) == list(KILLED_AT)
    assert made(killed) == made(whole)
    assert (killed / "out/stages/09-table/table.json").read_bytes() == (
        whole / "out/stages/09-table/table.json"
    ).read_bytes()
    assert (killed / "out/report.html").is_file()
