"""The ranks of a run: trainer processes that hold a part of the weights each and make every update together.

``torchrun`` (or our launcher, ``distributed/launch.py``) starts them. What they tell each other apart from gradients
and weights goes through a gloo group, on which ranks that stay away are found and named.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from thinkwright.errors import RanksError

Item = TypeVar("Item")

PACKAGES = ("thinkwright", "torch", "transformers")
"""Whose versions must be the same in all processes of a run."""
ON_RAY_VARIABLE = "THINKWRIGHT_ON_RAY"
_LOST = re.compile(r"timed? ?out|connection (closed|reset|refused)|monitoredbarrier|broken pipe|watchdog|nccl", re.I)
"""How torch says that another rank did not answer; it has no error type of its own for gloo."""


@dataclass(frozen=True)
class Ranks:
    """Which of the ranks this process is. The default is a run of one process, where nothing is told to anybody."""

    rank: int = 0
    size: int = 1
    deadline_seconds: float = 1800.0
    """How long a rank waits for the others before it gives the run up."""
    group: Any = None
    """Of all ranks, over gloo."""
    store: Any = None
    """Where each rank leaves what it is about to do."""
    is_led: bool = False
    """Whether the first rank does everything that is shared out: what other programs do, it asks them for alone."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run folder and speaks to people."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every ``size``-th item, from this rank's on."""
        if self.is_led:
            return list(items) if self.is_first else []
        return list(items[self.rank :: self.size])

    def joined(self, own: Sequence[Item]) -> list[Item]:
        """What the shares of all ranks became, in the order of the items that were shared out."""
        if self.size == 1:
            return list(own)
        if self.is_led:
            return self.first(list(own))
        shares = self.gather(list(own))
        return [shares[i % self.size][i // self.size] for i in range(sum(map(len, shares)))]

    def gather(self, value: Item) -> list[Item]:
        """The value of every rank, in order of rank. Raises RanksError if one does not come."""
        if self.size == 1:
            return [value]
        self.meet()
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def first(self, value: Item) -> Item:
        """The first rank's value, on every rank."""
        return self.gather(value if self.is_first else None)[0]  # type: ignore[return-value]

    def on_first(self, make: Callable[[], Item]) -> Item:
        """What the first rank makes, on every rank; only it makes it, while the others wait."""
        return self.first(make() if self.is_first else None)  # type: ignore[arg-type,return-value]

    def any(self, value: bool) -> bool:
        """Whether it is so on any rank."""
        return any(self.gather(value))

    def sums(self, values: dict[str, float]) -> dict[str, float]:
        """Sum over the ranks of each figure; all ranks have the same names."""
        if self.size == 1:
            return values
        found = self.gather(values)
        return {name: sum(one[name] for one in found) for name in values}

    def passes(self, batches: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
        """This rank's part of a step's micro-batches, and whether each counts.

        Every rank must make as many passes, since weights and gradients travel within them. A rank that has one less
        makes the first micro-batch once more, for nothing.
        """
        for i in range(0, len(batches), self.size):
            is_own = i + self.rank < len(batches)
            yield batches[i + self.rank if is_own else 0], is_own

    def meet(self) -> None:
        """Wait for all ranks. Raises RanksError naming those that do not come within the deadline."""
        if self.size == 1:
            return
        with self._naming_the_lost():
            dist.monitored_barrier(self.group, timedelta(seconds=self.deadline_seconds), wait_all_ranks=True)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say what this rank is about to do, so that it can be named should it never come out of it."""
        if self.size == 1:
            yield
            return
        self.store.set(_place(self.rank), f"{what} on {socket.gethostname()}")
        with self._naming_the_lost():
            yield

    @contextmanager
    def _naming_the_lost(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not _LOST.search(str(error)):
                raise
            raise RanksError(
                f"rank {self.rank} lost the others, or waited {self.deadline_seconds:g} s "
                f"(machine.deadline_seconds) in vain: {self._places()}; {str(error).strip().splitlines()[0]}. "
                "The newest checkpoint is whole: --resume"
            ) from error

    def _places(self) -> str:
        """What each rank last said that it was about to do."""
        try:
            is_told = [self.store.check([_place(i)]) for i in range(self.size)]
            told = [self.store.get(_place(i)).decode() if known else "its start" for i, known in enumerate(is_told)]
        except RuntimeError:  # the store lies with the first rank
            return "rank 0, which knows where the others are, is gone"
        return ", ".join(f"rank {i} is at {what}" for i, what in enumerate(told))


SINGLE = Ranks()
"""A run of one process."""


def _place(rank: int) -> str:
    return f"thinkwright/{rank}"


def is_rank() -> bool:
    """Whether ``torchrun`` or our launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_on_ray() -> bool:
    """Whether this process is a trainer that Ray has placed: what else the run needs, Ray places as well."""
    return os.environ.get(ON_RAY_VARIABLE) == "1"


def own_device(device: torch.device) -> torch.device:
    """This rank's GPU, if the device is a GPU. Raises RanksError if there are fewer than ranks on this machine."""
    if device.type != "cuda":
        return device
    place, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= count:
        raise RanksError(
            f"machine.ranks: {socket.gethostname()} was given {os.environ.get('LOCAL_WORLD_SIZE', '?')} ranks and has "
            f"{count} GPUs; set machine.ranks={count}, or start fewer on each node"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


@contextmanager
def joined_ranks(size: int, deadline_seconds: float, facts: Mapping[str, str]) -> Iterator[Ranks]:
    """This process's place among the ranks, for as long as the block lasts.

    ``facts``: versions and the like, which must be the same on every rank. Raises RanksError if they are not, if the
    number of ranks is not ``size``, or if they do not find each other within the deadline.
    """
    if size == 1 and not is_rank():
        yield SINGLE
        return
    found = int(os.environ.get("WORLD_SIZE", "1"))
    if found != size:
        raise RanksError(
            f"machine.ranks: the recipe asks for {size} ranks and torchrun started {found}; make --nnodes times "
            f"--nproc-per-node {size}, or set machine.ranks={found}"
        )
    deadline = timedelta(seconds=deadline_seconds)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, _ = next(rendezvous("env://", timeout=deadline))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=deadline)
    except (RuntimeError, ValueError) as error:
        raise RanksError(f"the {size} ranks did not find each other within {deadline_seconds:g} s: {error}") from error
    try:
        ranks = Ranks(rank, size, deadline_seconds, dist.new_group(backend="gloo", timeout=deadline), store)
        _check_alike(ranks.gather({"host": socket.gethostname(), **facts}))
        yield ranks
    finally:
        dist.destroy_process_group()


def _check_alike(facts: Sequence[Mapping[str, str]]) -> None:
    """Raises RanksError for a rank that differs from the first in anything but its host."""
    for rank, found in enumerate(facts):
        differing = [key for key in found if key != "host" and found[key] != facts[0].get(key)]
        if differing:
            listed = ", ".join(f"{key} {found[key]} (rank 0: {facts[0].get(key)})" for key in differing)
            raise RanksError(f"rank {rank} on {found['host']} has {listed}; install the same on every node")
