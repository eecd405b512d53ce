"""A run of several ranks as a user starts it: it outlives a rank, stops when told, goes on with another number."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.pipeline.command_line import REPOSITORY, interrupt, metrics, run, wait_for_rows
from tests.training.sft_files import make_rows, write_rows

pytestmark = pytest.mark.slow
Command = Callable[..., list[str]]


@pytest.fixture
def command(model_folder: Callable[[str], Path], tmp_path: Path) -> Command:
    """The command line of a small run into a folder of the given name."""
    rows = write_rows(tmp_path / "rows.jsonl", make_rows(40))
    (tmp_path / "small.toml").write_text(
        f'type = "sft"\nmodel = "{model_folder("qwen2")}"\ndata = ["{rows}"]\nmax_tokens = 1024\nbatch_size = 4\n'
        "micro_batch_tokens = 80\nlr = 1e-3\nepochs = 6\ncheckpoint_steps = 10\n"
        '[machine]\ndevice = "cpu"\ndtype = "float32"\nthreads = 1\n',
        encoding="utf-8",
    )

    def build(name: str, *extra: str) -> list[str]:
        started = [sys.executable, "-m", "thinkwright", "run", str(tmp_path / "small.toml")]
        return [*started, *extra, "--out", str(tmp_path / name)]

    return build


def ranks_of(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    """The launcher's children that train, told by the session each leads."""

    return [child for child in psutil.Process(launcher.pid).children() if os.getsid(child.pid) == child.pid]


def test_a_run_outlives_a_killed_rank(command: Command, tmp_path: Path) -> None:
    run(command("alone"))
    process = subprocess.Popen(
        command("spread", "machine.ranks=2"), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_rows(tmp_path / "spread" / "metrics.jsonl", 15, process)
    ranks_of(process)[1].kill()
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert "was killed (SIGKILL)" in told
    assert "all start again from step_000010" in told
    ours, theirs = metrics(tmp_path / "spread"), metrics(tmp_path / "alone")
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    assert [row["loss/nll"] for row in ours] == pytest.approx([row["loss/nll"] for row in theirs], abs=1e-5)
    summary = json.loads((tmp_path / "spread" / "summary.json").read_text())
    assert summary["status"] == "finished"


def test_ctrl_c_leaves_a_checkpoint_that_one_process_takes_up(command: Command, tmp_path: Path) -> None:
    interrupt(command("r", "machine.ranks=2", "epochs=60", "checkpoint_steps=1000"), tmp_path / "r")
    stopped = len(metrics(tmp_path / "r"))
    process = subprocess.Popen([*command("r", "epochs=60", "checkpoint_steps=1000"), "--resume"], cwd=REPOSITORY)
    wait_for_rows(tmp_path / "r" / "metrics.jsonl", stopped + 5, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [row["step"] for row in metrics(tmp_path / "r")] == list(range(len(metrics(tmp_path / "r"))))
