"""What the tests of this folder share."""

import resource
import time
from collections.abc import Callable, Iterator

import pytest

from tests.rewards.traced_scripts import keep_marks, trace


@pytest.fixture
def cpu_seconds() -> Callable[[], float]:
    """Reads the CPU time of this process and its finished children: unlike wall time, untouched by a busy machine."""

    def read() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    return read


@pytest.fixture(scope="session", autouse=True)
def _traced() -> Iterator[None]:
    """Where ``make coverage`` asks for it, the scripts that run programs leave marks."""
    with pytest.MonkeyPatch.context() as patch:
        trace(patch)
        yield


@pytest.fixture(autouse=True)
def _kept_marks(_traced: None) -> Iterator[None]:
    """Of each test."""
    yield
    keep_marks()
