"""Out of memory in an update: smaller micro-batches, the same gradient, and it is said."""

import json
import subprocess
import sys

import pytest
import torch

from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.errors import TrainingError
from thinkwright.training.memory_limit import MicroBatch

# Real memory that is really not there: the process may take no more address space than it has, and some.
UPDATE = """
import json, resource, sys, torch
from random import Random
from tests.training_groups import training_group
from thinkwright.config.algorithm import Algorithm
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater

torch.set_num_threads(1)
policy = load_policy(resolve_model_name("tiny-base"), device=torch.device("cpu"), dtype=torch.float32)
optimizer = MasterOptimizer(policy.model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
rng = Random(0)
ids = lambda count: tuple(rng.randrange(10, 900) for _ in range(count))
groups = [
    training_group(
        ids(20),
        tuple(ids(150) for _ in range(8)),
        ((-3.0,) * 150,) * 8,
        tuple(rng.gauss(0, 1) for _ in range(8)),
    )
    for _ in range(5)
]
seen = []
def step(*_):
    seen.append({n: m.grad.clone() for n, m in optimizer.masters.items()})
    optimizer.forget_gradients()
optimizer.step = step
notes = []
for limit, micro_batch in ((None, 1024), (100 << 20, 100_000)):
    updater = Updater(policy, None, optimizer, Algorithm(kl_coef=0.0), 1.0, micro_batch, max_tokens=192)
    if limit is not None:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
    updater.update(groups, 1e-3, 1e9)
    notes += updater.micro_batch.told()
print(json.dumps([notes, max(float((seen[0][name] - seen[1][name]).abs().max()) for name in seen[0])]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_an_update_without_enough_memory_is_made_in_smaller_passes_with_the_same_gradient() -> None:
    done = subprocess.run([sys.executable, "-c", UPDATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    notes, difference = json.loads(done.stdout.splitlines()[-1])
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
