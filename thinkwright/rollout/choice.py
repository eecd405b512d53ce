"""The engine that a recipe samples with: the trainer's own model, or vLLM's servers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from thinkwright.config.recipe import RolloutSettings
from thinkwright.config.vllm import VLLMSettings
from thinkwright.distributed.ranks import Ranks
from thinkwright.errors import ModelError
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutEngine
from thinkwright.rollout.native import NativeEngine

if TYPE_CHECKING:
    from thinkwright.rollout.vllm.server import Launch

LOG_FOLDER = "logs"
"""In the run folder: what the servers say."""


@contextmanager
def open_engine(settings: RolloutSettings, policy: Policy, folder: Path, ranks: Ranks) -> Iterator[RolloutEngine]:
    """The engine, for as long as the block lasts. vLLM's servers are asked by the first rank alone.

    Raises ModelError if vLLM or the GPUs for it are missing.
    """
    if settings.vllm is None:
        yield NativeEngine(policy, settings.slots, settings.memory_bytes)
        return
    from thinkwright.rollout.vllm.engine import VLLMEngine
    from thinkwright.rollout.vllm.server import VLLMServer, shared_memory_folder

    vllm = settings.vllm
    servers: list[VLLMServer] = []
    if ranks.is_first and vllm.urls:
        servers = [VLLMServer(vllm, None, url) for url in vllm.urls]
    elif ranks.is_first:
        servers = [VLLMServer(vllm, launch) for launch in _launches(vllm, policy, folder)]
    place = folder / "engine" if vllm.urls else shared_memory_folder(folder.name)
    with VLLMEngine(policy, servers, place, vllm.request_seconds) as engine:
        yield engine


def _launches(vllm: VLLMSettings, policy: Policy, folder: Path) -> list["Launch"]:
    """One for each server: its GPUs follow the trainer's; on a CPU it shares the trainer's cores and threads."""
    from thinkwright.rollout.vllm.server import Launch

    found: list[Launch] = []
    visible = [int(name) for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.isdecimal()]
    first = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if policy.device.type == "cuda":
        needed, count = first + vllm.servers * vllm.gpus_per_server, torch.cuda.device_count()
        if needed > count:
            raise ModelError(
                f"rollout.vllm: {vllm.servers} servers of {vllm.gpus_per_server} GPUs beside {first} trainer ranks "
                f"need {needed} GPUs, and there are {count}; lower one of them, or give rollout.vllm.urls"
            )
    for i in range(vllm.servers):
        start = first + i * vllm.gpus_per_server
        places = range(start, start + vllm.gpus_per_server) if policy.device.type == "cuda" else ()
        gpus = tuple(visible[place] if visible else place for place in places)
        dtype = str(policy.dtype).removeprefix("torch.")
        log = folder / LOG_FOLDER / f"vllm-{i}.log"
        found.append(Launch(vllm, dtype, policy.max_positions, gpus, torch.get_num_threads(), log))
    return found
