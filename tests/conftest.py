"""Models and data for the tests.

What takes seconds to load is loaded by the fixtures that need it: the process that hands tests out to workers does not.
"""

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING

# Read once, when torch is loaded: threads that spin while they wait take cores from what else runs, many times over.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import psutil
import pytest
from hypothesis import settings

from tests.model_folders import KINDS, write_model_folder

if TYPE_CHECKING:
    from thinkwright.models.policy import Policy
    from thinkwright.rewards.pool import WorkerPool

# A deadline for each example would measure what else the machine does.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
# Half of what is loaded and collected would be looked through for garbage again and again, and is none.
gc.disable()


def pytest_collection_finish() -> None:
    """What is there now stays, in each process that runs tests; torch, which they all need, is among it."""
    import torch  # noqa: F401

    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _forked_processes() -> None:
    """One of several workers starts many processes: all of them are forked from one, loaded beside the first tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        multiprocessing.set_forkserver_preload(["tests.nursery"])
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a kind of model, made once per test session."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = write_model_folder(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder_of


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """A run sets torch's threads for its whole process; the next test begins with those of this one again."""
    import torch

    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture
def few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny world is evaluated on 18 of its 256 held-out questions, for tests that are not about what is found."""
    from thinkwright.tasks.tiny_world.world import held_out_puzzles

    monkeypatch.setattr("thinkwright.tasks.tiny_world_prompts.held_out_puzzles", lambda: held_out_puzzles()[::15])


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest, model_folder: Callable[[str], Path]) -> "Policy":
    """A policy of each kind, fp32 on the CPU."""
    import torch

    from thinkwright.models.policy import load_policy

    return load_policy(str(model_folder(request.param)), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of data sets: THINKWRIGHT_DATA, or ``shared/data`` beside the repository; skips without one."""
    folder = Path(os.environ.get("THINKWRIGHT_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no data sets: set THINKWRIGHT_DATA, or put them into ../shared/data")
    return folder


@pytest.fixture(scope="session")
def pool() -> "Iterator[WorkerPool]":
    """Workers that grade by the package's own verifiers."""
    from thinkwright.rewards.pool import WorkerPool

    with WorkerPool() as workers:
        yield workers


@pytest.fixture
def is_left_alone() -> Callable[[], bool]:
    """Whether all processes that the test started have ended, soon; those of other tests do not count."""
    before = set(psutil.Process().children(recursive=True))

    def look() -> bool:
        deadline = time.monotonic() + 10
        while (left := set(psutil.Process().children(recursive=True)) - before) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not left

    return look
