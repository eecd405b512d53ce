"""Memory that tensors leave behind goes back to the system."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.sft_files import make_rows, write_rows
from thinkwright import run
from thinkwright.training.heap import Heap

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can give back what it keeps")
def test_what_lies_free_between_what_is_in_use_goes_back_once_the_process_has_grown() -> None:
    done = subprocess.run([sys.executable, "-c", SMALL_PROCESS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is resident at each look; a look after memory was given back counts as well."""
    found: list[int] = []
    monkeypatch.setattr(Heap, "_resident", lambda self: found.pop(0))
    return found


def test_memory_that_every_step_needs_is_not_given_back_after_every_step(sizes: list[int]) -> None:
    heap = Heap()
    sizes += [100, 100]
    assert heap.tidy()
    sizes += [185, 180]  # the next step needs as much again, and so do all
    assert [heap.tidy() for _ in range(2)] == [False, False]
    sizes += [186, 100]  # what comes beyond is too much all the same
    assert heap.tidy()
    assert not sizes


def test_what_is_in_use_may_become_less(sizes: list[int]) -> None:
    heap = Heap()
    sizes += [100, 100, 50, 90, 50]
    assert [heap.tidy() for _ in range(3)] == [True, False, True]
    assert not sizes


def test_a_run_looks_after_every_step_and_gives_back_at_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Heap, "tidy", lambda self: seen.append("step"))
    monkeypatch.setattr(Heap, "give_back", lambda self: seen.append("checkpoint"))
    rows = write_rows(tmp_path / "rows.jsonl", make_rows(16))
    recipe = tmp_path / "sft.toml"
    recipe.write_text(
        f'type = "sft"\nmodel = "tiny-base-small"\ndata = ["{rows}"]\nbatch_size = 4\nepochs = 1\nmax_tokens = 1024\n'
    )
    run(recipe, tmp_path / "run", ["checkpoint_steps=2"])
    assert seen[:3] == ["step", "step", "checkpoint"]
    assert seen.count("step") >= 3
