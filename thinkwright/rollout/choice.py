"""The engine that a recipe samples with: the trainer's own model, processes beside it, or vLLM's servers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import torch

from thinkwright.config.engines import EngineSettings
from thinkwright.config.lora import LoRASettings
from thinkwright.config.recipe import TrainingRollout
from thinkwright.config.vllm import VLLMSettings
from thinkwright.distributed.ranks import PACKAGES, Ranks, is_on_ray
from thinkwright.errors import ModelError
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutEngine
from thinkwright.rollout.fleet.fleet import EngineFleet
from thinkwright.rollout.fleet.process import ProcessSource
from thinkwright.rollout.fleet.worker import EngineStart
from thinkwright.rollout.native import NativeEngine

if TYPE_CHECKING:
    from thinkwright.rollout.vllm.engine import VLLMEngine
    from thinkwright.rollout.vllm.server import Launch

LOG_FOLDER = "logs"
"""In the run folder: what the servers say."""


@contextmanager
def open_engine(
    settings: TrainingRollout,
    policy: Policy,
    model: str,
    folder: Path,
    ranks: Ranks,
    lora: LoRASettings | None = None,
) -> Iterator[RolloutEngine]:
    """The engine, for as long as the block lasts. Processes and servers are asked by the first rank alone.

    ``model``: the folder or Hub name that the policy was loaded from. Raises ModelError without vLLM or GPUs for it.
    """
    if settings.engines is not None:
        open_fleet = _ray_fleet if is_on_ray() else _fleet
        with open_fleet(settings, settings.engines, policy, model, ranks) as engine:
            yield engine
    elif settings.vllm is not None:
        with _vllm(settings.vllm, policy, folder, ranks, lora) as engine:
            yield engine
    else:
        yield NativeEngine(policy, settings.slots, settings.memory_bytes)


def _fleet(settings: TrainingRollout, engines: EngineSettings, policy: Policy, model: str, ranks: Ranks) -> EngineFleet:
    gpus = _gpus("rollout.engines", engines.count, 1, policy)
    devices = [f"cuda:{places[0]}" for places in gpus] or [str(policy.device)] * engines.count
    starts = [_start(settings, engines, policy, model, device) for device in devices]
    source = ProcessSource(starts) if ranks.is_first else None
    return EngineFleet(policy, source, engines.count, settings.slots, engines.deadline_seconds)


def _ray_fleet(
    settings: TrainingRollout, engines: EngineSettings, policy: Policy, model: str, ranks: Ranks
) -> EngineFleet:
    from thinkwright.rollout.fleet.ray_engines import RaySource

    source = RaySource(_start(settings, engines, policy, model, policy.device.type)) if ranks.is_first else None
    return EngineFleet(policy, source, engines.count, settings.slots, engines.deadline_seconds)


def _start(settings: TrainingRollout, engines: EngineSettings, policy: Policy, model: str, device: str) -> EngineStart:
    return EngineStart(
        model=str(Path(model).resolve()) if Path(model).exists() else model,
        device=device,
        dtype=str(policy.dtype).removeprefix("torch."),
        threads=engines.threads or torch.get_num_threads(),
        slots=settings.slots,
        memory_bytes=settings.memory_bytes,
        versions={package: version(package) for package in PACKAGES},
    )


def _gpus(key: str, count: int, gpus_each: int, policy: Policy) -> list[range]:
    """The GPUs, as this process numbers them, of each sampling process; none on a CPU. They follow the trainer's.

    Raises ModelError if there are too few.
    """
    if policy.device.type != "cuda":
        return []
    first, there = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if (needed := first + count * gpus_each) > there:
        raise ModelError(
            f"{key}: {count} processes of {gpus_each} GPUs beside {first} trainer ranks need {needed} GPUs, and there "
            f"are {there}; lower one of them, or sample in the trainer's own process"
        )
    return [range(first + i * gpus_each, first + (i + 1) * gpus_each) for i in range(count)]


def _vllm(vllm: VLLMSettings, policy: Policy, folder: Path, ranks: Ranks, lora: LoRASettings | None) -> "VLLMEngine":
    if is_on_ray() and not vllm.urls:
        raise ModelError(
            "rollout.vllm: Ray does not place vLLM's servers; start them on their nodes and name them in "
            "rollout.vllm.urls, or sample by rollout.engines"
        )
    from thinkwright.rollout.vllm.engine import VLLMEngine
    from thinkwright.rollout.vllm.server import VLLMServer, shared_memory_folder

    servers: list[VLLMServer] = []
    if ranks.is_first and vllm.urls:
        servers = [VLLMServer(vllm, None, url) for url in vllm.urls]
    elif ranks.is_first:
        servers = [VLLMServer(vllm, launch) for launch in _launches(vllm, policy, folder, lora)]
    # Servers keep what they made of a prompt by the path of the adapters: another for each start.
    place = folder / "engine" / uuid4().hex if vllm.urls else shared_memory_folder(folder.name)
    return VLLMEngine(policy, servers, place, vllm.request_seconds)


def _launches(vllm: VLLMSettings, policy: Policy, folder: Path, lora: LoRASettings | None) -> list["Launch"]:
    """One for each server: its GPUs follow the trainer's; on a CPU it shares the trainer's cores and threads."""
    from thinkwright.rollout.vllm.server import Launch

    visible = [int(name) for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.isdecimal()]
    places = _gpus("rollout.vllm", vllm.servers, vllm.gpus_per_server, policy)
    found: list[Launch] = []
    for i in range(vllm.servers):
        gpus = tuple(visible[place] if visible else place for place in places[i]) if places else ()
        dtype = str(policy.dtype).removeprefix("torch.")
        log = folder / LOG_FOLDER / f"vllm-{i}.log"
        rank = lora.rank if lora is not None else None
        found.append(Launch(vllm, dtype, policy.max_positions, gpus, torch.get_num_threads(), log, rank))
    return found
