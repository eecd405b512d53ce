"""Starts the ranks of a run on this machine, through torch's elastic agent, and tells what became of them.

On several machines ``torchrun`` starts them: ``torchrun --nnodes N --nproc-per-node M ... -m thinkwright run RECIPE``.
"""

import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import psutil
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from thinkwright.errors import RanksError, ThinkwrightError, told_in_full

LOST_EXIT_CODE = 75
"""Of a rank that lost the others (EX_TEMPFAIL): a new try may do."""
_SHUTDOWN_SECONDS = 10
_PR_SET_PDEATHSIG = 1


class RankDiedError(RanksError):
    """A rank was killed, or lost the others: the run may be taken up again."""


def run_ranks(size: int, entry: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``entry(*arguments)`` in ``size`` processes; returns what it returned on rank 0.

    Raises RankDiedError if one was killed or lost the others, RanksError if one ended with an error, which it has told
    by itself. A signal to this process is passed on to all of them.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
        signals_to_handle="SIGHUP",
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    try:
        with passing_signals_on(_tell_children):
            return elastic_launch(config, _as_rank)(entry, *arguments)[0]
    except ChildFailedError as error:
        ends = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
        told = ", ".join(f"rank {rank} {_end(code)}" for rank, code in ends.items())
        kind = RankDiedError if all(code < 0 or code == LOST_EXIT_CODE for code in ends.values()) else RanksError
        raise kind(f"{told}; the others were stopped") from error


def _end(code: int) -> str:
    if code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return "lost the others" if code == LOST_EXIT_CODE else "ended with the error above"


def _as_rank(entry: Callable[..., Any], *arguments: Any) -> Any:
    """The life of one rank. Signals reach it from the launcher alone, so that none comes twice."""
    os.setsid()
    die_with_parent()
    gc.freeze()  # what is imported by now stays: neither a step nor the end looks through it for garbage
    try:
        return entry(*arguments)
    except ThinkwrightError as error:
        print(f"thinkwright: rank {os.environ['RANK']}: {told_in_full(error)}", file=sys.stderr, flush=True)
        sys.exit(LOST_EXIT_CODE if isinstance(error, RanksError) else 1)


def die_with_parent() -> None:
    """Let this process be ended (SIGTERM) when the thread that started it ends, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _tell_children(number: int) -> None:
    for child in psutil.Process().children():
        child.send_signal(number)


@contextmanager
def passing_signals_on(tell_all: Callable[[int], None]) -> Iterator[None]:
    """Call ``tell_all`` with the number of Ctrl-C or SIGTERM, in place of what they did; it must return at once."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        tell_all(number)

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
