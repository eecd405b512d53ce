"""The pool's processes as the pool sees them: the nursery, and the workers it forks (``worker.py`` is their side)."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from signal import Signals
from typing import Any

import psutil

from thinkwright.errors import GraderError

START_SECONDS = 60.0
"""The longest wait for a process to start and load what it needs."""
DEMOTED_NICENESS = 10
_LAST_WORDS_BYTES = 2000
_END_SECONDS = 10.0


class Nursery:
    """The process that forks workers."""

    def __init__(self, registry: str, memory_bytes: int, variables: Mapping[str, str]) -> None:
        """Start it; it loads while the caller goes on.

        ``registry``: ``module:dict`` of the verifiers. ``variables``: added to its environment.
        """
        self._control, theirs = socket.socketpair()
        self._control.settimeout(START_SECONDS)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process lives)
        command = [
            sys.executable,
            "-P",  # modules are looked for where the trainer looks, in the same order
            "-m",
            "thinkwright.rewards.worker",
            registry,
            str(theirs.fileno()),
            str(memory_bytes),
        ]
        # The same answers in every run: no hash seed of the day. Workers share the cores with each other and the model.
        environment = {
            **os.environ,
            **variables,
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
        }
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            self._words.close()
            raise GraderError(f"the graders' process does not start: {error}; mend that and resume the run") from error
        finally:
            theirs.close()

    def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Its reply. Raises GraderError with its last words if it is gone or silent."""
        received = b""
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], fds)
            while not received.endswith(b"\n"):
                piece = self._control.recv(2**16)
                if not piece:
                    raise ConnectionError("it ended")
                received += piece
        except OSError as error:
            reason = str(error) or f"no answer within {START_SECONDS:.0f} s"
            raise GraderError(
                f"the graders' process does not work ({reason}): {self._last_words()}; mend that, or free memory and "
                "processor time, and resume the run"
            ) from error
        return json.loads(received)

    def fork(self) -> "Worker":
        """A new worker. Raises GraderError if there cannot be one."""
        channel, theirs = socket.socketpair()
        errors, their_errors = os.pipe()
        try:
            reply = self.ask({"op": "fork"}, [theirs.fileno(), their_errors])
        except BaseException:
            channel.close()
            os.close(errors)
            raise
        finally:
            theirs.close()
            os.close(their_errors)
        if "error" in reply:
            channel.close()
            os.close(errors)
            raise GraderError(
                f"no process for a grader: {reply['error']}; free memory, raise the limit on processes (ulimit -u) or "
                "lower rewards.workers, and resume the run"
            )
        return Worker(reply["pid"], channel, errors)

    def close(self) -> None:
        """End it, and with it all workers."""
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._words.seek(0)
        return _shortened(self._words.read()) or "it said nothing"


class Worker:
    """One worker: what it was given, how long it has been at it, and what it said."""

    def __init__(self, pid: int, channel: socket.socket, errors: int) -> None:
        self.pid, self.channel, self.errors = pid, channel, errors
        channel.settimeout(START_SECONDS)
        os.set_blocking(errors, False)
        self.assigned: deque[int] = deque()
        """Ids of the batch it has not reported; the first is the one it is at, if it takes them one by one."""
        self.batch_size, self.num_done = 0, 0
        self.began = self.since = time.monotonic()
        """When its batch began, and when it last began something."""
        self.has_started = False
        self.is_loading, self.is_busy, self.is_stuck, self.is_demoted = True, False, False, False
        self._received, self._words = b"", b""

    def begin(self, batch: Sequence[int], message: dict[str, Any]) -> bool:
        """Give it a batch. Whether it could be sent."""
        self.assigned, self.batch_size, self.is_busy = deque(batch), len(batch), True
        self.began = self.since = time.monotonic()
        return self.send(message)

    def send(self, message: dict[str, Any]) -> bool:
        """Whether it could be sent; it cannot to a worker that is gone."""
        try:
            self.channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def receive(self) -> list[list[Any]] | None:
        """The messages that have come; None if the worker is gone, or says what is no message."""
        try:
            piece = self.channel.recv(2**18)
        except OSError:
            return None
        if not piece:
            return None
        *lines, self._received = (self._received + piece).split(b"\n")
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            return None

    def listen(self) -> bool:
        """Take what came on its standard error; False at its end."""
        try:
            piece = os.read(self.errors, 2**16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._words = (self._words + piece)[-_LAST_WORDS_BYTES:]
        return bool(piece)

    def demote(self) -> None:
        """Let the others go first, if it is computing; one that waits for a program it runs is left alone."""
        with contextlib.suppress(psutil.Error, OSError):
            if psutil.Process(self.pid).status() == psutil.STATUS_RUNNING:
                os.setpriority(os.PRIO_PROCESS, self.pid, DEMOTED_NICENESS)
                self.is_demoted = True

    def close(self) -> None:
        """Close this side of its channels."""
        self.channel.close()
        os.close(self.errors)

    def how_it_died(self, status: int) -> str:
        """For a person: the signal or exit status, and the last words."""
        how = f"signal {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        words = _shortened(self._words)
        return f"its process died ({how}{': ' + words if words else ''})"


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return str(number)


def _shortened(words: bytes) -> str:
    """The last lines, as one line."""
    return " | ".join(words.decode(errors="replace").strip().splitlines()[-3:])[-500:]
