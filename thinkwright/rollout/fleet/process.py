"""Engines as processes of this machine; weights go through shared memory, groups through a pipe."""

import signal
import socket
import threading
from contextlib import suppress
from importlib.metadata import version
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Literal

import torch

from thinkwright.errors import ModelError
from thinkwright.forks import TRAINER_ENGINES, forking_context
from thinkwright.models.policy import Policy, load_policy
from thinkwright.rollout.fleet.engine import EngineDiedError, Finished
from thinkwright.rollout.fleet.shared_weights import SharedWeights
from thinkwright.rollout.fleet.worker import Call, EngineStart, EngineWorker

START_SECONDS = 600.0
"""The longest that loading the model may take."""
_END_SECONDS = 5.0
_TAKE_WEIGHTS: Literal["take weights"] = "take weights"


class ProcessEngine:
    """See ``Engine``. The process ends by itself when this one does, for then the pipe ends."""

    def __init__(self, start: EngineStart, weights: SharedWeights, name: str) -> None:
        """Starts the process and returns once it is ready."""
        self.name = name
        self._is_killed = False
        self._outbox: SimpleQueue[Call | str | None] = SimpleQueue()
        context = forking_context(TRAINER_ENGINES)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve_engine, args=(theirs, start, weights), name=name, daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen here
        try:
            if not self._connection.poll(START_SECONDS):
                raise EngineDiedError(f"{name} was not ready within {START_SECONDS:g} s")
            self.receive(0)  # the empty list that says ready
        except BaseException:
            self.kill()
            raise
        threading.Thread(target=self._send, name=f"to {name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    def add(self, call: Call) -> None:
        """See ``Engine``."""
        self._outbox.put(call)

    def take_weights(self) -> None:
        """See ``Engine``."""
        self._outbox.put(_TAKE_WEIGHTS)

    def receive(self, seconds: float) -> Finished:
        """See ``Engine``."""
        try:
            found: Any = self._connection.recv() if self._connection.poll(seconds) else []
            if not found and self._is_killed:  # it may hang where not even that reaches it
                raise EngineDiedError(f"{self.name} (process {self._process.pid}) was killed")
        except (EOFError, OSError) as error:
            raise EngineDiedError(self._last_words()) from error
        if isinstance(found, Exception):
            raise found
        return found

    def kill(self) -> None:
        """See ``Engine``."""
        self._is_killed = True
        self._process.kill()
        self._process.join(_END_SECONDS)
        self._outbox.put(None)

    def _send(self) -> None:
        """In a thread of its own: an engine that stands still takes nothing from the pipe. Ends with the pipe."""
        with suppress(OSError):
            while (message := self._outbox.get()) is not None:
                self._connection.send(message)

    def _last_words(self) -> str:
        self._process.join(_END_SECONDS)
        return f"{self.name} (process {self._process.pid}) ended with status {self._process.exitcode}"


class ProcessSource:
    """See ``EngineSource``."""

    def __init__(self, starts: list[EngineStart]) -> None:
        """``starts``: by place."""
        self._starts = starts
        self._weights: SharedWeights | None = None

    def publish(self, policy: Policy, policy_version: int) -> None:
        """See ``EngineSource``."""
        if self._weights is None:
            self._weights = SharedWeights(policy)
        self._weights.write(policy, policy_version)

    def start(self, place: int) -> ProcessEngine:
        """See ``EngineSource``."""
        assert self._weights is not None, "weights are published first"
        return ProcessEngine(self._starts[place], self._weights, f"engine {place}")


def load_engine_policy(start: EngineStart) -> Policy:
    """The policy that an engine samples from, in its own process. Raises ModelError with other packages than the
    trainer's, which would sample otherwise."""
    for package, wanted in start.versions.items():
        if (found := version(package)) != wanted:
            raise ModelError(
                f"an engine on {socket.gethostname()} has {package} {found} (the trainer: {wanted}); install the same "
                "on every node"
            )
    torch.set_num_threads(start.threads)
    dtype: torch.dtype = getattr(torch, start.dtype)
    return load_policy(start.model, device=torch.device(start.device), dtype=dtype)


def serve_engine(connection: Connection, start: EngineStart, weights: SharedWeights) -> None:
    """The process: samples what comes through the pipe, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's matter
    try:
        worker = EngineWorker(load_engine_policy(start), start.slots, start.memory_bytes)
        inbox: SimpleQueue[Call | str | None] = SimpleQueue()
        threading.Thread(target=_read_inbox, args=(connection, inbox), daemon=True).start()
        connection.send([])
        while _heed(inbox, worker, weights):
            if found := worker.step():
                connection.send(found)
    except ConnectionError:
        return  # the trainer has ended
    except ModelError as error:
        connection.send(error)
    except Exception as error:
        connection.send(EngineDiedError(f"{type(error).__name__}: {error}"))
        raise


def _read_inbox(connection: Connection, inbox: "SimpleQueue[Call | str | None]") -> None:
    """Keep the pipe empty, in a thread: both ends could else wait for each other to read. None: it has ended."""
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            inbox.put(None)
            return


def _heed(inbox: "SimpleQueue[Call | str | None]", worker: EngineWorker, weights: SharedWeights) -> bool:
    """Take what has come; with nothing to do, wait for it. Returns False once the trainer has ended."""
    while not worker.is_busy or not inbox.empty():
        message = inbox.get()
        if message is None:
            return False
        if isinstance(message, Call):
            worker.add(message)
        else:
            worker.take_weights(weights.read_into)
    return True
