"""What the ranks of the tests do; in a file of its own, since other processes import it by name, and little else."""

import os
import signal
import time
from pathlib import Path

from thinkwright.distributed.ranks import joined_ranks


def meet(size: int, versions: list[str]) -> None:
    """The ranks find each other, each with a version of its own."""
    with joined_ranks(size, 30, {"torch": versions[int(os.environ["RANK"])]}) as ranks:
        ranks.meet()


def stay_away(size: int, deadline_seconds: float) -> None:
    """Rank 1 stands still in the middle of the second step."""
    with joined_ranks(size, deadline_seconds, {}) as ranks:
        for step in range(3):
            with ranks.doing(f"step {step}"):
                if (ranks.rank, step) == (1, 1):
                    time.sleep(600)
                ranks.gather(step)


def die(size: int) -> None:
    """Rank 1 is killed."""
    with joined_ranks(size, 30, {}) as ranks:
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.meet()


def share_and_save(size: int, folder: Path, times: int) -> tuple[list[int], int]:
    """Share work out, then save one checkpoint after another; returns what was joined, and the step of the newest
    checkpoint that is whole."""
    import torch

    from thinkwright.training.checkpoint import Progress, newest_checkpoint, save_checkpoint

    with joined_ranks(size, 30, {"torch": "1.0"}) as ranks:
        joined = ranks.joined([10 * item for item in ranks.share(range(5))])
        for step in range(times):
            save_checkpoint(folder, Progress(step, step, 0, 0.0), {"masters/a": torch.arange(5.0)}, ranks)
        found = newest_checkpoint(folder, ranks)
        assert found is not None
        return joined, found.progress.next_step
