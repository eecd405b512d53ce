"""Memory that tensors leave behind goes back to the system."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only glibc can give back what it keeps")
SMALL_PROCESS = """
import psutil
from thinkwright.training.heap import MAX_GROWTH, Heap

heap, process = Heap(), psutil.Process()
assert heap.tidy(), "the first look says what is in use"
assert not heap.tidy(), "it has not grown"
before, size = process.memory_info().rss, 64 * 1024  # so small that glibc takes them from its heap
many = [b"x" * size for _ in range(int(1.2 * MAX_GROWTH * before / size))]
many[:-1] = []  # the last holds the heap's end, so that nothing goes back by itself
assert process.memory_info().rss > MAX_GROWTH * before, "glibc keeps it"
assert heap.tidy(), "it has grown"
assert process.memory_info().rss < 1.2 * before, "and is as small as before"
print(len(many))
"""


def test_what_lies_free_between_what_is_in_use_goes_back_once_the_process_has_grown() -> None:
    done = subprocess.run([sys.executable, "-c", SMALL_PROCESS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")
