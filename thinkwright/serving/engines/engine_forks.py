"""The process that forks engines: it has loaded the libraries once, so that an engine is soon there, and soon back."""

import multiprocessing
from multiprocessing import forkserver
from typing import Any


def forking_context() -> Any:
    """Where processes of engines come from."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["thinkwright.serving.engines.engine_nursery"])
    return context


def begin_to_load() -> None:
    """Let that process load its libraries while this one loads its own. Returns at once."""
    forking_context()
    forkserver.ensure_running()
