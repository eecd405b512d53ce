"""The program as a user starts it, and what its metrics say apart from the clock."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from thinkwright.cli import main
from thinkwright.forks import TRAINER_ENGINES, forking_context

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


class Started:
    """A run in a process of its own, as the command starts one, but forked from one that has loaded the libraries."""

    def __init__(self, command: Sequence[str], log: Path | None = None) -> None:
        """What it prints goes into a file, if no other is given beside its folder."""
        assert command[:3] == [sys.executable, "-m", "thinkwright"]
        words = list(command[3:])
        self.log = log or Path(words[words.index("--out") + 1]).with_suffix(".log")
        context = forking_context(TRAINER_ENGINES)
        self._process = context.Process(target=_as_command, args=(words, self.log))
        self._process.start()

    def poll(self) -> int | None:
        """How it ended, if it did."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.join()

    def wait(self, seconds: float = 120) -> int:
        """How it ended; fails if it goes on for longer."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"the run did not end within {seconds:g} s"
        return self._process.exitcode


def _as_command(words: list[str], log: Path) -> None:
    os.chdir(REPOSITORY)
    for number in (signal.SIGTERM, signal.SIGHUP):  # what it is forked from may start servers' engines, too
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["thinkwright", *words]
    sys.exit(main(words))


def wait_for_rows(path: Path, count: int, process: "subprocess.Popen[Any] | Started") -> None:
    """Until the file has that many lines; fails after two minutes or when the process ends."""
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline, f"no {count} rows in {path} within 120 s"
        time.sleep(0.02)


def kill(command: Sequence[str], folder: Path, after: int) -> None:
    """Start a run as a process and kill it, without warning, when it has written that many rows of metrics."""
    process = Started(command)
    wait_for_rows(folder / "metrics.jsonl", after, process)
    process.send_signal(signal.SIGKILL)
    process.wait()


def interrupt(command: Sequence[str], folder: Path) -> None:
    """Start a run as a process and press Ctrl-C: it ends as told, with a checkpoint of the step it was at."""
    process = Started(command)
    wait_for_rows(folder / "metrics.jsonl", 2, process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert "--resume" in process.log.read_text(encoding="utf-8")
    assert (folder / "checkpoints" / f"step_{len(metrics(folder)):06d}" / "progress.json").exists()
    assert not (folder / "model").exists()
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert (folder / "report.html").exists()
