"""Thinkwright: whole steps as the loop does them (rollouts, rewards, advantages, one update), each part timed."""

import argparse
import time
from typing import Any

import torch

from bench.arms.memory import PeakMemory
from bench.arms.protocol import Channel
from bench.workloads import TEMPERATURE, Workload, read_workload
from thinkwright.algorithms.advantages import group_std
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.recipe import Optimizer
from thinkwright.models.policy import choose_dtype, load_policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater
from thinkwright.types import Rollout, TrainingGroup, TrainingMember

# TRL's defaults, so that both sides take the same kind of step.
LEARNING_RATE, MAX_GRAD_NORM = 1e-6, 1.0
MICRO_BATCH_TOKENS = Optimizer().micro_batch_tokens


def training_groups(workload: Workload, sampled: list[tuple[Rollout, ...]], step: int) -> list[TrainingGroup]:
    """The sampled groups with the workload's rewards turned into advantages."""
    rewards = torch.tensor(
        [[workload.reward(step, prompt, member) for member in range(len(g))] for prompt, g in enumerate(sampled)]
    )
    advantages = group_std(rewards, torch.ones_like(rewards, dtype=torch.bool))
    return [
        TrainingGroup(
            tuple(prompt_ids),
            tuple(
                TrainingMember(rollout.token_ids, rollout.logprobs, 0.0, (advantage,) * len(rollout.token_ids))
                for rollout, advantage in zip(group, row.tolist(), strict=True)
            ),
        )
        for prompt_ids, group, row in zip(workload.prompt_ids, sampled, advantages, strict=True)
    ]


def main() -> None:
    """Serve steps until the parent is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    options = parser.parse_args()
    channel, workload = Channel(), read_workload(options.workload)
    device = torch.device("cpu")
    dtype = choose_dtype("auto", device)
    policy = load_policy(workload.model, device=device, dtype=dtype)
    engine = NativeEngine(policy)
    optimizer = MasterOptimizer(policy.model, lr=LEARNING_RATE, betas=(0.9, 0.999), weight_decay=0.0)
    algorithm = Algorithm(mini_batches=1, kl_coef=0)
    updater = Updater(
        policy, None, optimizer, algorithm, TEMPERATURE, MICRO_BATCH_TOKENS, max_tokens=MICRO_BATCH_TOKENS
    )
    requests = [
        RolloutRequest(prompt_id=str(i), prompt_ids=tuple(ids), max_tokens=tuple(ends))
        for i, (ids, ends) in enumerate(zip(workload.prompt_ids, workload.ends, strict=True))
    ]

    def run_step(step: int, measures_memory: bool) -> dict[str, Any]:
        settings = SamplingSettings(
            group_size=workload.group_size,
            max_tokens=workload.longest,
            temperature=TEMPERATURE,
            seed=0,
            step=step,
            ignore_end=True,
        )
        start = time.perf_counter()
        sampled = engine.generate(requests, settings)
        sampled_at = time.perf_counter()
        groups = training_groups(workload, sampled, step)
        memory = PeakMemory() if measures_memory else None
        updater.update(groups, LEARNING_RATE, MAX_GRAD_NORM)
        end = time.perf_counter()
        return {
            "step_seconds": end - start,
            "rollout_seconds": sampled_at - start,
            "update_seconds": end - sampled_at,
            "tokens": sum(len(rollout.token_ids) for group in sampled for rollout in group),
        } | (memory.measured() if memory else {})

    channel.ready({"dtype": str(dtype).removeprefix("torch."), "micro_batch_tokens": MICRO_BATCH_TOKENS})
    step = 0
    while (order := channel.wait()) is not None:
        channel.answer(run_step(step, order["measures_memory"]))
        step += 1


if __name__ == "__main__":
    main()
