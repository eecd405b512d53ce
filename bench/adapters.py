"""Memory and speed of training adapters against training all weights, on a random model.

``python -m bench.adapters``: each variant in a process of its own, in turns; seconds of an update are the median of
several, memory is the highest the process had above what it had before the model was made.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from bench.models import sizes_of
from bench.workloads import Shape
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.lora import LoRASettings
from thinkwright.distributed.ranks import SINGLE
from thinkwright.distributed.sharding import copy_weights, learner_of
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.policy import Policy
from thinkwright.models.shipped import SHIPPED
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.reference import reference_of
from thinkwright.training.update import Updater
from thinkwright.types import TrainingGroup, TrainingMember

SHAPE = Shape(layers=12, hidden=1024, intermediate=2816, heads=16, kv_heads=4, vocab_size=32_000)
GROUPS, GROUP_SIZE, PROMPT, COMPLETION = 2, 4, 64, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("full", "lora"))
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.variant is not None:
        print(json.dumps(measure(options.variant == "lora", options.rank, options.updates)))
        return
    for _ in range(options.rounds):
        for variant in ("full", "lora"):
            command = [sys.executable, "-m", "bench.adapters", "--variant", variant, "--rank", str(options.rank)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            print(variant, found, flush=True)


def measure(has_adapters: bool, rank: int, updates: int) -> dict[str, Any]:
    """One variant, in this process."""
    torch.set_num_threads(2)
    before = _peak_bytes()
    config = Qwen2Config(**sizes_of(SHAPE), max_position_embeddings=4096, tie_word_embeddings=True)
    config._attn_implementation = ATTENTION_NAME
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    policy = Policy(model, AutoTokenizer.from_pretrained(SHIPPED["tiny-base"]), torch.device("cpu"))
    lora = LoRASettings(rank=rank) if has_adapters else None
    learner = learner_of(policy, SINGLE, lora, 0)
    reference = reference_of(policy, learner, SINGLE, lora, 0)
    optimizer = MasterOptimizer(learner.model, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0)
    updater = Updater(learner, reference, optimizer, Algorithm(), 1.0, 4096, max_tokens=4096)
    groups, seconds = _groups(), list[float]()
    for _ in range(updates):
        start = time.perf_counter()
        updater.update(groups, 1e-5, 1.0)
        copy_weights(learner, policy)
        seconds.append(time.perf_counter() - start)
    trained = sum(param.numel() for param in learner.model.parameters() if param.requires_grad)
    return {
        "update_seconds": round(statistics.median(seconds[1:]), 3),
        "memory_mb": round((_peak_bytes() - before) / 2**20),
        "parameters": sum(param.numel() for param in policy.model.parameters()),
        "trained": trained,
    }


def _groups() -> list[TrainingGroup]:
    rng = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(SHAPE.vocab_size) for _ in range(count))

    return [
        TrainingGroup(
            ids(PROMPT),
            tuple(
                TrainingMember(ids(COMPLETION), (-10.0,) * COMPLETION, 0.0, (1.0 if i % 2 else -1.0,) * COMPLETION)
                for i in range(GROUP_SIZE)
            ),
        )
        for _ in range(GROUPS)
    ]


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
