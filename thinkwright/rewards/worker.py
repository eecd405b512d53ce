"""The processes behind ``pool.py``: a nursery that has everything loaded, and the workers it forks.

Started by ``staff.py`` as ``python -m thinkwright.rewards.worker REGISTRY FD MEMORY_BYTES``. The nursery runs nothing
that a model or a user wrote; it loads the verifiers once and forks a ready worker in milliseconds whenever one is
wanted, so that killing a worker costs little. A worker leads a process group of its own, has little memory, no input
and no standard output, dies with the nursery, and the nursery ends when its control socket closes: nothing outlives the
run. What a dead worker leaves running falls to the nursery (as Linux's child subreaper), which kills it.

Nursery, a JSON object a request and a reply: ``{"op": "warm", "names": [verifier]}``, ``{"op": "load", "kind": kind}``
(as workers do at first use), ``{"op": "fork"}`` with the worker's two descriptors, ``{"op": "end", "pid": n}``. Worker,
a JSON line a message: in, a batch ``{"kind", "name", "items": [[id, arguments]]}``, or ``{}``, which takes back what of
the batch has not been begun; out, a list that begins with ``ready``, ``warming``, ``warm``, ``result`` or ``done``.
"""

import contextlib
import ctypes
import json
import math
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from thinkwright.rewards import custom
from thinkwright.rewards.identify import load_identifier
from thinkwright.rewards.language import language_consistency, question_words
from thinkwright.rewards.repetition import repetition_penalty
from thinkwright.rewards.verifier import Verifier
from thinkwright.user_function import load_named

Result = tuple[str, Any, str]
"""Outcome, value (a score, a list of scores, or a text), and what to say of it."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CHORES_SECONDS = 1.0
_MAX_DETAIL_CHARACTERS = 500
_MAX_KEPT_REASONS = 4096
_MAX_SWEEPS = 1000
_CAUGHT = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)


def main(registry: str, control_fd: int, memory_bytes: int) -> None:
    """The life of the nursery: answer requests until the pool closes its end, or is gone."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    parent, pids = os.getppid(), set[int]()
    os.set_inheritable(control_fd, False)
    control = socket.socket(fileno=control_fd)
    control.settimeout(_CHORES_SECONDS)
    desk = Desk(load_registry(registry))
    while os.getppid() == parent:
        _reap(pids)
        try:
            text, fds, _, _ = socket.recv_fds(control, 2**16, 2)
        except TimeoutError:
            continue
        if not text:
            break
        request = json.loads(text)
        reply = (
            _fork(control, fds, desk, pids, memory_bytes) if request["op"] == "fork" else _reply(request, desk, pids)
        )
        control.sendall(json.dumps(reply).encode() + b"\n")
    control.close()
    for pid in list(pids):
        _end(pid, pids)


def load_registry(name: str) -> dict[str, Verifier]:
    """The dict that ``module:dict`` names."""
    registry: dict[str, Verifier] = load_named(name)
    return registry


def _reply(request: dict[str, Any], desk: "Desk", pids: set[int]) -> dict[str, Any]:
    if request["op"] == "warm":
        return {name: desk.describe(name) for name in request["names"]}
    if request["op"] == "load":
        desk.warm(request["kind"], "")
        return {}
    return {"status": _end(request["pid"], pids)}


def _fork(
    control: socket.socket, fds: Sequence[int], desk: "Desk", pids: set[int], memory_bytes: int
) -> dict[str, Any]:
    try:
        pid = os.fork()
    except OSError as error:
        return {"error": str(error)}
    if pid == 0:
        control.close()
        _become_worker(fds[0], fds[1], desk, memory_bytes)
    for fd in fds:
        os.close(fd)
    pids.add(pid)
    return {"pid": pid}


def _end(pid: int, pids: set[int]) -> int:
    """Kill a worker and its group if they still run, and what they left. Returns the worker's exit status."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    pids.discard(pid)
    for _ in range(_MAX_SWEEPS):
        strays = [child for child in _children() if child not in pids]
        if not strays:
            break
        for stray in strays:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(stray, signal.SIGKILL)
                os.waitpid(stray, 0)
    return os.waitstatus_to_exitcode(status)


def _reap(pids: set[int]) -> None:
    """Take note of the end of processes that fell to the nursery, such as what sandboxes leave: none piles up."""
    for child in _children():
        if child not in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)


def _children() -> list[int]:
    """Processes whose parent is this one; none where the system does not list them."""
    try:
        return list(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()))
    except OSError:
        return []


def _become_worker(channel_fd: int, errors_fd: int, desk: "Desk", memory_bytes: int) -> None:
    """The life of a worker, from fork to exit; never returns."""
    try:
        nursery = os.getppid()
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != nursery:
            return
        os.set_inheritable(channel_fd, False)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(errors_fd, 2)
        os.close(null)
        os.close(errors_fd)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform != "darwin":  # macOS may refuse this limit
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        work(socket.socket(fileno=channel_fd), desk)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def work(channel: socket.socket, desk: "Desk") -> None:
    """Answer batches until the channel closes."""

    def send(*message: Any) -> None:
        channel.sendall(json.dumps(message).encode() + b"\n")

    def is_taken_back() -> bool:
        return bool(select.select([channel], [], [], 0)[0])

    own_pid = os.getpid()
    send("ready")
    for line in channel.makefile("rb"):
        batch = json.loads(line)
        if not batch:
            continue  # took back a batch that was finished by then
        if not desk.is_warm(batch["kind"], batch["name"]):
            send("warming")
            desk.warm(batch["kind"], batch["name"])
            send("warm")
        for item_id, result in desk.results(batch, is_taken_back):
            if os.getpid() != own_pid:
                os._exit(0)  # a child that a verifier forked and let run on
            send("result", item_id, *result)
        send("done")


class Desk:
    """Where items are worked on: the verifiers, and what is loaded and known of them."""

    def __init__(self, verifiers: dict[str, Verifier]) -> None:
        self._verifiers = verifiers
        self._warmed: set[tuple[str, str]] = set()
        self._reasons: dict[tuple[str, str], str | None] = {}

    def describe(self, name: str) -> dict[str, Any] | None:
        """Load a verifier; its deadline, whether it grades many at once, and why it cannot work here.

        None if there is none of this name.
        """
        verifier = self._verifiers.get(name)
        if verifier is None:
            return None
        self.warm("grade", name)
        return {
            "deadline_seconds": verifier.deadline_seconds,
            "grades_many": verifier.grade_many is not None,
            "problem": verifier.machine_problem() if verifier.machine_problem is not None else None,
        }

    def is_warm(self, kind: str, name: str) -> bool:
        """Whether what an item of this kind needs is loaded."""
        return (kind, name) in self._warmed

    def warm(self, kind: str, name: str) -> None:
        """Load what is loaded at first use, so that no item's deadline pays for it. An error comes with the items."""
        with contextlib.suppress(*_CAUGHT):
            if kind == "grade":
                load = self._verifiers[name].load
                if load is not None:
                    load()
            elif kind == "language":
                load_identifier()
            elif kind in ("function", "check"):
                load_named(name)
        self._warmed.add((kind, name))

    def results(self, batch: dict[str, Any], is_taken_back: Callable[[], bool]) -> Iterator[tuple[int, Result]]:
        """(id, result) of each item of a batch as it comes, until the rest is taken back."""
        kind, name, items = batch["kind"], batch["name"], batch["items"]
        verifier = self._verifiers.get(name) if kind == "grade" else None
        if verifier is not None and verifier.grade_many is not None:
            jobs = [(answer, gold) for _, (answer, gold) in items]
            yield from zip([item_id for item_id, _ in items], self._grade_many(name, verifier, jobs), strict=True)
            return
        for position, (item_id, arguments) in enumerate(items):
            if position and is_taken_back():
                return
            yield item_id, guarded(lambda arguments=arguments: self._work_on(kind, name, arguments))

    def _work_on(self, kind: str, name: str, arguments: Sequence[Any]) -> Result:
        match kind:
            case "grade":
                answer, gold = arguments
                reason = self._gold_problem(name, gold)
                return ("skipped", None, reason) if reason else score_of(self._verifiers[name].grade(answer, gold))
            case "language":
                text, question = arguments
                return score_of(language_consistency(text, name, question_words(question)))
            case "repetition":
                text, ngram_size = arguments
                return score_of(repetition_penalty(text, ngram_size, -1.0), -1, 0)
            case "function":
                replies, prompt = arguments
                return "graded", custom.call_function(name, replies, prompt), ""
            case _:
                return "graded", custom.problem_with_reward(name), ""

    def _grade_many(self, name: str, verifier: Verifier, jobs: Sequence[tuple[str, str]]) -> list[Result]:
        grade_many = cast("Callable[[Sequence[tuple[str, str]]], list[float]]", verifier.grade_many)
        reasons = [self._gold_problem(name, gold) for _, gold in jobs]
        gradable = [job for job, reason in zip(jobs, reasons, strict=True) if reason is None]
        try:
            scores = grade_many(gradable)
            if len(scores) != len(gradable):
                raise ValueError(f"gave {len(scores)} scores for {len(gradable)} answers")
        except _CAUGHT as error:
            failed: Result = ("failed", None, describe_error(error))
            return [("skipped", None, reason) if reason else failed for reason in reasons]
        graded = iter(scores)
        return [("skipped", None, reason) if reason else score_of(next(graded)) for reason in reasons]

    def _gold_problem(self, name: str, gold: str) -> str | None:
        key = name, gold
        if key not in self._reasons:
            if len(self._reasons) >= _MAX_KEPT_REASONS:
                self._reasons.clear()
            self._reasons[key] = self._verifiers[name].check_gold(gold)
        return self._reasons[key]


def guarded(call: Callable[[], Result]) -> Result:
    """What ``call`` gives, or that it failed and how."""
    try:
        return call()
    except _CAUGHT as error:
        return "failed", None, describe_error(error)


def score_of(value: Any, low: int = 0, high: int = 1) -> Result:
    """A score between the limits, or that this is none."""
    if isinstance(value, int | float) and math.isfinite(value) and low <= value <= high:
        return "graded", float(value), ""
    return "failed", None, f"gave {value!r:.100}, not a number from {low} to {high}"


def describe_error(error: BaseException) -> str:
    """Kind, text and place of an error, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}"[:_MAX_DETAIL_CHARACTERS].replace("\n", " ") + place


def _prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing, and what it guards against is left to the pool's orderly end."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
