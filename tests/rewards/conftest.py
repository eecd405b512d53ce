"""What the tests of this folder share."""

import resource
import time
from collections.abc import Callable

import pytest


@pytest.fixture
def cpu_seconds() -> Callable[[], float]:
    """Reads the CPU time of this process and its finished children: unlike wall time, untouched by a busy machine."""

    def read() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    return read
