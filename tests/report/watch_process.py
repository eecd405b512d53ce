"""``thinkwright watch`` in a process of its own."""

import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pipeline.command_line import Started

START_SECONDS = 60.0


class WatchProcess:
    """One that answers; ends when told to."""

    def __init__(self, folder: Path, log: Path, port: int = 0) -> None:
        """What it prints goes into ``log``."""
        self._started = Started([sys.executable, "-m", "thinkwright", "watch", str(folder), "--port", str(port)], log)
        try:
            self.first_lines = self._first_lines()
        except BaseException:
            self._started.kill()
            raise
        self.told, self.address = self.first_lines[0], self.first_lines[1].split()[0]

    def _first_lines(self) -> list[str]:
        deadline = time.monotonic() + START_SECONDS
        while self.said().count("\n") < 2:
            assert self._started.poll() is None, self.said()
            assert time.monotonic() < deadline, f"no address within {START_SECONDS:g} s: {self.said()}"
            time.sleep(0.02)
        return self.said().splitlines()[:2]

    def said(self) -> str:
        """All that it has printed."""
        return self._started.log.read_text(encoding="utf-8") if self._started.log.exists() else ""

    def stop(self) -> int:
        """As Ctrl-C does; returns its exit code."""
        if self._started.poll() is None:
            self._started.send_signal(signal.SIGINT)
        try:
            return self._started.wait(20)
        except BaseException:
            self._started.kill()
            raise


@contextmanager
def watching(folder: Path, port: int = 0) -> Iterator[str]:
    """One for as long as it is looked at; gives its address."""
    with tempfile.TemporaryDirectory() as place:
        process = WatchProcess(folder, Path(place) / "log", port)
        try:
            yield process.address
        finally:
            process.stop()
