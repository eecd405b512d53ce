"""Engines as actors of a Ray cluster: Ray places them, carries groups and weights, and tells when one is gone.

There may be fewer than were asked for, while the cluster has no room; they come when nodes do.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from thinkwright.errors import ModelError
from thinkwright.models.policy import Policy
from thinkwright.rollout.fleet.engine import EngineDiedError, Finished, NoRoomError
from thinkwright.rollout.fleet.process import START_SECONDS, load_engine_policy
from thinkwright.rollout.fleet.worker import Call, EngineStart, EngineWorker

_GRACE_SECONDS = 60.0
"""How long an actor may take to answer beyond what it was told to wait."""
Weights = dict[str, np.ndarray]
"""Bytes of each parameter."""


class EngineActor:
    """The process. Calls only leave messages, in order; a thread samples."""

    def __init__(self, start: EngineStart) -> None:
        self._inbox: SimpleQueue[Call | tuple[list[Any], int]] = SimpleQueue()
        self._outbox: SimpleQueue[Finished | Exception] = SimpleQueue()
        threading.Thread(target=self._run, args=(start,), daemon=True).start()

    @ray.method(concurrency_group="control")
    def add(self, call: Call) -> None:
        """See ``Engine``."""
        self._inbox.put(call)

    @ray.method(concurrency_group="control")
    def take_weights(self, reference: list[Any], policy_version: int) -> None:
        """``reference``: one object of ``Weights``, in a list so that Ray does not fetch it before its time."""
        self._inbox.put((reference, policy_version))

    @ray.method(concurrency_group="results")
    def receive(self, seconds: float) -> Finished:
        """See ``Engine``."""
        try:
            found = self._outbox.get(timeout=seconds)
        except Empty:
            return []
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self, start: EngineStart) -> None:
        try:
            worker = EngineWorker(load_engine_policy(start), start.slots, start.memory_bytes)
            self._outbox.put([])  # ready
            while True:
                self._heed(worker)
                if found := worker.step():
                    self._outbox.put(found)
        except Exception as error:  # raised again where groups are taken
            self._outbox.put(error)

    def _heed(self, worker: EngineWorker) -> None:
        while not worker.is_busy or not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Call):
                worker.add(message)
            else:
                worker.take_weights(_writer(*message))


class RayEngine:
    """See ``Engine``."""

    def __init__(self, actor: Any, name: str, source: "RaySource") -> None:
        self.name, self._actor, self._source = name, actor, source

    def add(self, call: Call) -> None:
        """See ``Engine``."""
        self._actor.add.remote(call)

    def take_weights(self) -> None:
        """See ``Engine``."""
        self._actor.take_weights.remote(*self._source.newest)

    def receive(self, seconds: float) -> Finished:
        """See ``Engine``."""
        return self._answer(self._actor.receive.remote(seconds), seconds + _GRACE_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait until it is ready. Raises NoRoomError if the cluster has no room for it in time."""
        ready = self._actor.receive.remote(seconds)
        if not ray.wait([ready], timeout=seconds)[0]:
            raise NoRoomError(
                f"{self.name}: no place in the cluster within {seconds:g} s: of {ray.cluster_resources()} are free "
                f"{ray.available_resources()}"
            )
        self._answer(ready, _GRACE_SECONDS)

    def _answer(self, reference: Any, seconds: float) -> Finished:
        try:
            return ray.get(reference, timeout=seconds)
        except (RayActorError, GetTimeoutError) as error:
            raise EngineDiedError(f"{self.name}: {str(error).strip().splitlines()[0]}") from error
        except RayError as error:
            if isinstance(cause := getattr(error, "cause", None), ModelError):
                raise cause from error
            raise EngineDiedError(f"{self.name}: {error}") from error

    def kill(self) -> None:
        """See ``Engine``."""
        ray.kill(self._actor)


class RaySource:
    """See ``EngineSource``."""

    def __init__(self, start: EngineStart) -> None:
        """``start``: of every engine; ``device`` says whether each takes a GPU."""
        is_on_gpu = torch.device(start.device).type == "cuda"
        self._start = replace(start, device="cuda:0") if is_on_gpu else start
        resources: dict[str, Any] = {"num_gpus": 1} if is_on_gpu else {"num_cpus": start.threads}
        groups: Any = {"control": 1, "results": 1}
        options: Any = {"concurrency_groups": groups, "max_restarts": 0, **resources}
        as_actor: Any = ray.remote(**options)
        self._actors: Any = as_actor(EngineActor)
        self.newest: tuple[list[Any], int] = ([], -1)
        """Where the newest weights are, and their version."""

    def publish(self, policy: Policy, policy_version: int) -> None:
        """See ``EngineSource``; the object lies with Ray for as long as an engine may want it."""
        found = {
            name: param.detach().cpu().contiguous().view(torch.uint8).numpy()
            for name, param in policy.model.named_parameters()
        }
        self.newest = [ray.put(found)], policy_version

    def start(self, place: int) -> RayEngine:
        """See ``EngineSource``; NoRoomError if the cluster has no room for it in time."""
        engine = RayEngine(self._actors.remote(self._start), f"engine {place}", self)
        try:
            engine.wait(START_SECONDS)
        except BaseException:
            engine.kill()
            raise
        return engine


def _writer(reference: list[Any], policy_version: int) -> Callable[[Policy], int]:
    """Writes weights that lie with Ray into a policy."""

    @torch.no_grad()
    def write(policy: Policy) -> int:
        found: Weights = ray.get(reference[0], timeout=START_SECONDS)
        for name, param in policy.model.named_parameters():
            values = torch.from_numpy(found[name].copy()).view(param.dtype)
            param.copy_(values.view(param.shape))
        return policy_version

    return write
