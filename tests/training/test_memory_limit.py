"""Out of memory in an update: smaller micro-batches, the same gradient, and it is said."""

import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import pytest
import torch

from tests.training_groups import training_group
from thinkwright.config.algorithm import Algorithm
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import TrainingError
from thinkwright.forks import TRAINER_ENGINES, forking_context
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.training.memory_limit import MicroBatch
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater


def updated_twice(free_bytes: int) -> tuple[list[str], float]:
    """The same update with memory enough and without it, in this process, which may then take no more address space
    than it has and ``free_bytes``: what is told of it, and by how much gradients differ at most."""
    torch.set_num_threads(1)
    policy = load_policy(resolve_model_name("tiny-base"), device=torch.device("cpu"), dtype=torch.float32)
    optimizer = MasterOptimizer(policy.model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    gradients, rng = list[dict[str, torch.Tensor]](), Random(0)

    def step(lr: float, gradient_norm: float, max_grad_norm: float) -> None:
        masters = optimizer.masters.items()
        gradients.append({name: own.grad.clone() for name, own in masters if own.grad is not None})
        optimizer.forget_gradients()

    optimizer.step = step

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(10, 900) for _ in range(count))

    groups = [
        training_group(
            ids(20), tuple(ids(150) for _ in range(8)), ((-3.0,) * 150,) * 8, [rng.gauss(0, 1) for _ in range(8)]
        )
        for _ in range(3)
    ]
    told = list[str]()
    for micro_batch in (1024, 100_000):
        updater = Updater(policy, None, optimizer, Algorithm(kl_coef=0.0), 1.0, micro_batch, max_tokens=192)
        if gradients:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + free_bytes, used + free_bytes))
        updater.update(groups, 1e-3, 1e9)
        told += updater.micro_batch.told()
    first, second = gradients
    return told, max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_an_update_without_enough_memory_is_made_in_smaller_passes_with_the_same_gradient() -> None:
    context = forking_context(TRAINER_ENGINES)
    with ProcessPoolExecutor(1, mp_context=context) as process:  # real memory that is really not there
        done = process.submit(updated_twice, 100 << 20)
        try:
            notes, difference = done.result(timeout=120)
        except TimeoutError:
            for started in process._processes.values():
                started.kill()
            raise
    assert notes
    assert "which changes no gradient but" in notes[0]
    assert difference < 1e-5


def failing(limit: int, made: list[int]) -> int:
    if made[-1] > limit:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return made[-1]


def test_micro_batches_are_halved_until_they_fit_and_stay_so() -> None:
    made: list[int] = []
    forgotten: list[int] = []
    micro_batch = MicroBatch(4096, SINGLE)
    for _ in range(2):
        found = micro_batch.within(
            lambda tokens: (made.append(tokens), failing(1500, made))[1], lambda: forgotten.append(1)
        )
        assert found == 1024
    assert made == [4096, 2048, 1024, 1024]
    assert len(forgotten) == 2
    assert len(micro_batch.told()) == 2
    assert micro_batch.told() == []


@pytest.mark.parametrize(
    ("ranks", "words"),
    [(SINGLE, "micro_batch_tokens = 64, and not even a single"), (Ranks(0, 2), "4096 .CUDA out of memory")],
)
def test_where_no_smaller_pass_helps_the_run_ends_with_what_to_do(ranks: Ranks, words: str) -> None:
    made: list[int] = []
    with pytest.raises(TrainingError, match=words):
        MicroBatch(4096, ranks).within(lambda tokens: (made.append(tokens), failing(0, made))[1], lambda: None)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(tokens: int) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        MicroBatch(4096, SINGLE).within(broken, lambda: None)
