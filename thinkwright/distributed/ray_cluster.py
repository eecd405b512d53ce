"""A Ray cluster that is there already: joining it, and what a recipe needs of it."""

import os
from dataclasses import dataclass

import ray

from thinkwright.errors import RanksError


@dataclass(frozen=True)
class Needs:
    """CPUs and GPUs that a run cannot begin without, and who needs them."""

    cpus: float
    gpus: float
    words: str


def join_cluster(address: str) -> None:
    """Connect to the cluster at an address (``auto``: the one of this machine). Raises RanksError without one."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, log_to_driver=True, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RanksError(
            f"--ray {address}: there is no Ray cluster ({error}); start one: ray start --head, and on the other nodes "
            "ray start --address HOST:6379"
        ) from error


def has_gpus() -> bool:
    """Whether any node of the cluster has a GPU."""
    return ray.cluster_resources().get("GPU", 0) > 0


def check_resources(needs: Needs) -> None:
    """Raises RanksError if the whole cluster has less than a run needs."""
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0), there.get("GPU", 0)
    if cpus < needs.cpus or gpus < needs.gpus:
        raise RanksError(
            f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs, and the recipe needs {needs.cpus:g} and {needs.gpus:g}: "
            f"{needs.words}; add nodes, or lower one of them"
        )
