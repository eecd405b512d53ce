"""Processes forked from one that has loaded the libraries once: one that is started or replaced is soon there."""

import multiprocessing
from multiprocessing import forkserver
from typing import Any

SERVER_ENGINES = "thinkwright.serving.engines.engine_nursery"
TRAINER_ENGINES = "thinkwright.rollout.fleet.nursery"
"""What such a process loads. One that cannot be imported is passed over without a word."""


def forking_context(nursery: str) -> Any:
    """Of ``multiprocessing``. The first call of a process decides what is loaded."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([nursery])
    return context


def begin_to_load(nursery: str) -> None:
    """Let that process load the libraries while this one loads its own. Returns at once.

    If this one ends first, that one loads to the end, for a few seconds, and then ends too.
    """
    forking_context(nursery)
    forkserver.ensure_running()
