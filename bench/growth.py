"""How cost grows with group size, completion length, prompt length, vocabulary and model size, ours alone.

``python -m bench.growth --out build/bench/growth.json``: rollouts and update of random models, median of several runs,
as microseconds per completion token and as a multiple of the floor (matrix products of layers, head and attention at
the measured speed). A curve that bends upward where its floor does not shows as a multiple that rises along its axis.
"""

import argparse
import json
import random
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from bench.machine import facts
from bench.models import sizes_of
from bench.workloads import Shape
from thinkwright.config.recipe import Algorithm
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.policy import Policy, choose_dtype
from thinkwright.models.shipped import SHIPPED
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater
from thinkwright.types import Rollout, TrainingGroup, TrainingMember

TOKENS_PER_POINT = 8192
"""Completion tokens of a point, as near as whole groups come to it, on the axes that do not say how many groups."""
MICRO_BATCH_TOKENS = 16_384
"""So many that every point but those of long completions is one micro-batch: prompts are then computed once, as their
floor counts them."""


def num_shared(prompt: int) -> int:
    """Tokens that all prompts of a length begin with."""
    return 2 * prompt // 3


@dataclass(frozen=True)
class Point:
    """One measurement: a model and a workload of groups of equal size, whose prompts share a beginning."""

    shape: Shape
    group_size: int = 16
    completion: int = 64
    prompt: int = 106
    groups: int | None = None

    @property
    def num_prompts(self) -> int:
        """Groups that come nearest to the tokens of a point, unless given."""
        return self.groups or max(1, round(TOKENS_PER_POINT / (self.group_size * self.completion)))

    @property
    def num_tokens(self) -> int:
        """Completion tokens of all groups."""
        return self.num_prompts * self.group_size * self.completion

    def forward_flops(self) -> float:
        """Of one forward pass, each token once: layers, head (completion tokens alone) and causal attention."""
        shape, shared = self.shape, num_shared(self.prompt)
        own = self.num_prompts * (self.prompt - shared)
        products = shape.layer_weights * (shared + own + self.num_tokens) + shape.head_weights * self.num_tokens
        seen = shared**2 / 2 + own * (self.prompt + shared) / 2 + self.num_tokens * (self.prompt + self.completion / 2)
        return 2.0 * products + 4.0 * seen * shape.layers * shape.heads * shape.head_dim


BASE = Point(Shape(vocab_size=512))


def model_of(hidden: int, layers: int) -> Shape:
    """A shape of the base's proportions, with a vocabulary so small that the layers are the model."""
    return Shape(512, hidden, layers, heads=hidden // 64, kv_heads=max(1, hidden // 128), intermediate=3 * hidden)


AXES: dict[str, list[tuple[float, Point]]] = {
    "group size": [(n, replace(BASE, group_size=n)) for n in (4, 8, 16, 32, 64)],
    # As many completions at every length: with fewer, steps of few rows would be measured, not length.
    "completion tokens": [(n, replace(BASE, completion=n, groups=4)) for n in (64, 128, 256, 512, 1024, 2048)],
    "prompt tokens": [(n, replace(BASE, prompt=n)) for n in (64, 128, 256, 512, 1024, 2048)],
    "vocabulary": [(n, replace(BASE, shape=Shape(n))) for n in (512, 2048, 8192, 32_768, 151_936)],
    "million parameters": [
        (round(shape.layer_weights / 1e6, 1), replace(BASE, shape=shape))
        for shape in (model_of(128, 4), model_of(256, 6), model_of(512, 6), model_of(768, 10), model_of(1024, 10))
    ],
}


def random_policy(shape: Shape, device: torch.device, dtype: torch.dtype) -> Policy:
    """A model of the shape with random weights; its tokenizer only turns ids into text."""
    config = Qwen3Config(
        **sizes_of(shape),
        head_dim=shape.head_dim,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    model: Any = Qwen3ForCausalLM._from_config(config, dtype=dtype, attn_implementation=ATTENTION_NAME)
    return Policy(model.to(device).eval(), AutoTokenizer.from_pretrained(SHIPPED["tiny-base"]), device)


def random_prompts(count: int, length: int) -> list[tuple[int, ...]]:
    """Random prompts that share their first two thirds, as questions in a template do."""
    draw = random.Random(0)
    preamble = [draw.randrange(1, 500) for _ in range(num_shared(length))]
    return [(*preamble, *(draw.randrange(1, 500) for _ in range(length - len(preamble)))) for _ in range(count)]


def groups_of(requests: list[RolloutRequest], sampled: list[tuple[Rollout, ...]]) -> list[TrainingGroup]:
    """Sampled groups with advantages of one half each sign."""
    return [
        TrainingGroup(
            request.prompt_ids,
            tuple(
                TrainingMember(own.token_ids, own.logprobs, 0.0, (1.0 if i % 2 else -1.0,) * len(own.token_ids))
                for i, own in enumerate(group)
            ),
        )
        for request, group in zip(requests, sampled, strict=True)
    ]


def measure(point: Point, repeats: int) -> dict[str, float]:
    """Median seconds of rollouts and update, after one of each to warm up."""
    device = torch.device("cpu")
    policy = random_policy(point.shape, device, choose_dtype("auto", device))
    engine = NativeEngine(policy)
    optimizer = MasterOptimizer(policy.model, lr=1e-6, betas=(0.9, 0.95), weight_decay=0.0)
    algorithm = Algorithm(mini_batches=1, kl_coef=0)
    updater = Updater(policy, None, optimizer, algorithm, 1.0, MICRO_BATCH_TOKENS, max_tokens=MICRO_BATCH_TOKENS)
    prompts = random_prompts(point.num_prompts, point.prompt)
    requests = [RolloutRequest(str(i), prompt) for i, prompt in enumerate(prompts)]
    times: list[tuple[float, float]] = []
    for step in range(repeats + 1):
        settings = SamplingSettings(point.group_size, point.completion, 1.0, seed=0, step=step, ignore_end=True)
        start = time.perf_counter()
        sampled = engine.generate(requests, settings)
        sampled_at = time.perf_counter()
        updater.update(groups_of(requests, sampled), 1e-6, 1.0)
        times.append((sampled_at - start, time.perf_counter() - sampled_at))
    rollout, update = (statistics.median(part) for part in zip(*times[1:], strict=True))
    return {"rollout_seconds": rollout, "update_seconds": update}


def row_of(value: float, point: Point, measured: dict[str, float], gflops: float) -> dict[str, float]:
    """A point's figures per completion token, beside their floors."""
    floor = point.forward_flops() / (gflops * 1e9)
    micro = 1e6 / point.num_tokens
    return {
        "value": value,
        "rollout_us": measured["rollout_seconds"] * micro,
        "rollout_floor_us": floor * micro,
        "update_us": measured["update_seconds"] * micro,
        "update_floor_us": 3 * floor * micro,
    }


def table(axis: str, rows: list[dict[str, float]]) -> str:
    """Markdown: one row a point, with the multiples of the floor."""
    lines = [
        f"\n| {axis} | rollout us/token | of its floor | update us/token | of its floor |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        parts = [
            f"{row[f'{part}_us']:.0f} | {row[f'{part}_us'] / row[f'{part}_floor_us']:.1f}x"
            for part in ("rollout", "update")
        ]
        lines.append(f"| {row['value']:g} | " + " | ".join(parts) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure the chosen axes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--axes", nargs="+", choices=tuple(AXES), default=list(AXES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/bench/growth.json"))
    options = parser.parse_args()
    torch.set_num_threads(2)
    machine = facts()
    results: dict[str, Any] = {"machine": machine, "axes": {}}
    for axis in options.axes:
        rows = [
            row_of(value, point, measure(point, options.repeats), max(machine["bf16_gflops"], machine["fp32_gflops"]))
            for value, point in AXES[axis]
        ]
        results["axes"][axis] = rows
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(table(axis, rows), flush=True)
    print(f"results: {options.out}")


if __name__ == "__main__":
    main()
