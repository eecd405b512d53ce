"""A run folder belongs to one process at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline.command_line import Started
from thinkwright.cli import main
from thinkwright.errors import RunFolderError
from thinkwright.run_folder import create_run_folder, is_empty
from thinkwright.run_lock import LOCK_FILE, hold, release

HOLDER = """
import sys, time
from pathlib import Path
from thinkwright.run_lock import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        with pytest.raises(RunFolderError, match=f"another process is at work there .process {process.pid} on "):
            hold(tmp_path)
        with pytest.raises(RunFolderError, match="another process is at work there"):
            create_run_folder(tmp_path, '{"steps": 1}', resume=False)
    assert not (tmp_path / "recipe.json").exists()


def test_the_folder_is_free_as_soon_as_its_process_is_gone_however_it_went(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        hold(tmp_path)
        assert f"process {os.getpid()} on " in (tmp_path / LOCK_FILE).read_text()
    hold(tmp_path)  # the same process may come again
    release(tmp_path)
    with held_elsewhere(tmp_path) as other:
        assert f"process {other.pid} on " in (tmp_path / LOCK_FILE).read_text()


def test_a_lock_alone_does_not_make_a_folder_taken(tmp_path: Path) -> None:
    hold(tmp_path)
    release(tmp_path)
    assert (tmp_path / LOCK_FILE).is_file()
    assert is_empty(tmp_path)


def test_runs_and_pipelines_are_refused_and_leave_the_folder_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for recipe in ("tiny/r1-zero", "tiny/r1"):
        folder = tmp_path / recipe.replace("/", "-")
        folder.mkdir()
        with held_elsewhere(folder):
            assert main(["run", recipe, "--out", str(folder)] + ["gate=default"] * (recipe == "tiny/r1-zero")) == 1
        assert "another process is at work there" in capsys.readouterr().err
        assert sorted(path.name for path in folder.iterdir()) == [LOCK_FILE]


def test_of_two_runs_started_at_once_one_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "thinkwright", "run", "tiny/r1-zero", "steps=1", "rollout.prompts_per_step=2"]
    command += ["algorithm.mini_batches=1", "rollout.group_size=2", "gate=default", "optimizer.warmup_steps=0"]
    command += ["evaluation.samples_per_question=1", "machine.threads=1", "task.families=['facts']"]
    command += ["--out", str(tmp_path / "run")]
    processes = [Started(command, tmp_path / f"{i}.log") for i in range(2)]
    ends = [(process.wait(), process.log.read_text(encoding="utf-8")) for process in processes]
    assert sorted(code for code, _ in ends) == [0, 1]
    assert any("another process is at work there" in text or "exists already" in text for code, text in ends if code)
