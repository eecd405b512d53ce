"""The ranks of a run as actors of a Ray cluster, one each."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from thinkwright.distributed.launch import RankDiedError, passing_signals_on
from thinkwright.distributed.ranks import ON_RAY_VARIABLE
from thinkwright.errors import RanksError

PLACE_SECONDS = 600.0
"""The longest wait for room in the cluster."""
_LOOK_SECONDS, _TELL_SECONDS = 1.0, 10.0


class RankActor:
    """A process in which one rank runs, in the main thread, so that signals reach it."""

    def where(self) -> tuple[str, int, str, int]:
        """Address, a free port, the node's id and the process's."""
        with socket.socket() as listener:
            listener.bind(("", 0))
            port = listener.getsockname()[1]
        return ray.util.get_node_ip_address(), port, ray.get_runtime_context().get_node_id(), os.getpid()

    def run(self, variables: dict[str, str], place: str, entry: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """What the entry returns. ``place``: the folder that relative paths begin at."""
        os.environ.update(variables)
        if not os.path.isdir(place):
            raise RanksError(f"{socket.gethostname()} has no folder {place}; start from a disk that all nodes share")
        os.chdir(place)
        return entry(*arguments)


def run_ray_ranks(size: int, cpus_each: float, gpus_each: float, entry: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``entry(*arguments)`` in ``size`` actors; returns what it returned on rank 0.

    Raises RankDiedError if an actor or its node died, or a rank lost the others; what the entry raised otherwise. A
    signal to this process is passed on to all of them.
    """
    bundle = {"CPU": cpus_each} | ({"GPU": gpus_each} if gpus_each else {})
    room = placement_group([bundle] * size, strategy="PACK")
    actors: list[Any] = []
    try:
        _await_room(room, bundle, size)
        options: dict[str, Any] = {"num_cpus": cpus_each, "num_gpus": gpus_each, "max_restarts": 0}
        remote: Any = ray.remote(RankActor)
        for rank in range(size):
            strategy = PlacementGroupSchedulingStrategy(room, placement_group_bundle_index=rank)
            actors.append(remote.options(scheduling_strategy=strategy, **options).remote())
        places = ray.get([actor.where.remote() for actor in actors], timeout=PLACE_SECONDS)
        variables = [_variables(rank, size, places[0]) for rank in range(size)]
        here = os.getcwd()
        calls = [actor.run.remote(variables[rank], here, entry, arguments) for rank, actor in enumerate(actors)]
        processes = [(node, number) for _, _, node, number in places]
        with passing_signals_on(lambda n: threading.Thread(target=_tell_all, args=(processes, n), daemon=True).start()):
            return _first_result(calls)
    except (RayActorError, GetTimeoutError) as error:
        raise RankDiedError(f"a rank was lost ({str(error).strip().splitlines()[0]})") from error
    finally:
        for actor in actors:
            ray.kill(actor)
        remove_placement_group(room)


def _await_room(room: Any, bundle: dict[str, float], size: int) -> None:
    if not room.wait(PLACE_SECONDS):
        raise RanksError(
            f"no room for {size} ranks of {bundle} in the cluster within {PLACE_SECONDS:g} s: of "
            f"{ray.cluster_resources()} are free {ray.available_resources()}"
        )


def _variables(rank: int, size: int, first: tuple[str, int, str, int]) -> dict[str, str]:
    """What ``torchrun`` would set. Each actor sees its own GPU alone, so its local rank is 0."""
    found = {ON_RAY_VARIABLE: "1"}
    if size > 1:
        address, port = first[:2]
        found |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        found |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    return found


def _first_result(calls: list[Any]) -> Any:
    """Rank 0's result once all are done; the first error of any at once."""
    waiting, lost = list(calls), None
    deadline = float("inf")
    while waiting and time.monotonic() < deadline:
        done, waiting = ray.wait(waiting, timeout=_LOOK_SECONDS)
        for call in done:
            try:
                ray.get(call)
            except RayTaskError as error:
                cause = error.cause
                if not isinstance(cause, RanksError):
                    raise cause if isinstance(cause, Exception) else RanksError(str(error)) from error
                # One that lost the others may have lost them to an error, which is told soon.
                lost, deadline = cause, min(deadline, time.monotonic() + _TELL_SECONDS)
    if lost is not None:
        raise RankDiedError(str(lost))
    return ray.get(calls[0])


def _terminate(process: int, number: int) -> None:
    os.kill(process, number)


def _tell_all(places: list[tuple[str, int]], number: int) -> None:
    """Ray passes no signals on: a task on each node does."""
    tell: Any = ray.remote(_terminate)
    for node, process in places:
        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        tell.options(num_cpus=0, scheduling_strategy=strategy).remote(process, number)
