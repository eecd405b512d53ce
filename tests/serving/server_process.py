"""``thinkwright serve`` as a person starts it: a process of its own, on a free port."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

MODEL = "tiny-base"
START_SECONDS = 120.0
END_SECONDS = 60.0


@dataclass
class ServerProcess:
    """One that answers."""

    address: str
    process: subprocess.Popen[str]
    log: Path

    def log_text(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8")


@contextlib.contextmanager
def server_process(folder: Path, *options: str) -> Iterator[ServerProcess]:
    """The shipped base model behind an address; ``options`` as of the command."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "thinkwright", "serve", MODEL, "--template", "r1_zero", "--port", "0"]
    command += ["--votes", str(folder / "votes.sqlite"), "--threads", "1", *options]
    with log.open("w", encoding="utf-8") as words:
        process = subprocess.Popen(
            command, stdout=words, stderr=words, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    try:
        yield ServerProcess(_address(process, log), process, log)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://[\d.]+:\d+", log.read_text(encoding="utf-8")):
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text(encoding='utf-8')}")


def metric(address: str, name: str, **labels: str) -> float:
    """A figure of ``/metrics``; 0 if it was never counted."""
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    wanted = f"{name}{{{told}}} "
    for line in httpx2.get(f"{address}/metrics").text.splitlines():
        if line.startswith(wanted):
            return float(line.removeprefix(wanted))
    return 0.0


def load_of(address: str, key: str = "none") -> dict[str, Any]:
    """How busy the model is, of which only those with the server's key are told."""
    return httpx2.get(f"{address}/health", headers={"authorization": f"Bearer {key}"}).json()["models"][MODEL]


def wait_until_idle(address: str, seconds: float, key: str = "none") -> dict[str, Any]:
    """The load once nothing runs or waits, or what it was when time was over."""
    deadline = time.monotonic() + seconds
    while (load := load_of(address, key))["num_running"] + load["num_waiting"] and time.monotonic() < deadline:
        time.sleep(0.02)
    return load
