"""Decode and update on a CUDA GPU beside transformers and TRL: ``make bench-gpu``; on a CPU the same with tiny shapes.

Models of Qwen2.5's shapes with random weights, bf16, 64 prompts x 16 completions whose ends stand on a geometric ladder
up to 1,024 tokens. Decode is held against the bytes it must read at the measured bandwidth, the update against the
measured speed of a large matrix product. Peers sample a part of the prompts: theirs is a rate, and the whole must end
in minutes. What a peer or a memory cannot do is said in its cell.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from bench.growth import groups_of, num_shared, random_prompts
from bench.models import sizes_of
from bench.workloads import Plan, Shape, geometric_ends
from thinkwright.config.algorithm import Algorithm
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.policy import Policy
from thinkwright.models.shipped import SHIPPED
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater
from thinkwright.types import Rollout

SLOTS = 1024
MICRO_BATCH_TOKENS = 16_384
MICRO_BATCH_TOKENS_CPU = 2048


@dataclass(frozen=True)
class Scale:
    """What is measured on a kind of machine."""

    shapes: dict[str, Shape]
    plan: Plan
    prompt_tokens: int
    peer_prompts: int
    """Prompts that the peers sample."""


CUDA = Scale(
    shapes={
        "0.5B": Shape(151_936, 896, 24, heads=14, kv_heads=2, head_dim=64, intermediate=4864),
        "1.5B": Shape(151_936, 1536, 28, heads=12, kv_heads=2, head_dim=128, intermediate=8960),
        "7B": Shape(152_064, 3584, 28, heads=28, kv_heads=4, head_dim=128, intermediate=18_944),
    },
    plan=Plan(vocab_size=151_936, num_prompts=64, group_size=16, shortest=8, longest=1024),
    prompt_tokens=128,
    peer_prompts=8,
)
CPU = Scale(
    shapes={"tiny": Shape(512, 128, 2, heads=4, kv_heads=2, head_dim=32, intermediate=256)},
    plan=Plan(vocab_size=512, num_prompts=4, group_size=4, shortest=4, longest=48),
    prompt_tokens=24,
    peer_prompts=2,
)


@dataclass(frozen=True)
class Machine:
    """The device and what it was measured to do."""

    device: torch.device
    flops: float
    """Of a large bf16 matrix product, per second."""
    bandwidth: float
    """Bytes read and written per second by a copy."""

    def seconds(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """How long the work takes, to its end on the device, and what it returns."""
        self._wait()
        start = time.perf_counter()
        result = work()
        self._wait()
        return time.perf_counter() - start, result

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measured_machine(device: torch.device) -> Machine:
    """Best of several large products and copies."""
    bare = Machine(device, 0.0, 0.0)
    size, copied = (8192, 2**30) if device.type == "cuda" else (1024, 2**27)
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.zeros(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = min(bare.seconds(lambda: left @ right)[0] for _ in range(10))
    copy = min(bare.seconds(lambda: target.copy_(source))[0] for _ in range(10))
    return Machine(device, 2 * size**3 / product, 2 * copied / copy)


def random_qwen2(shape: Shape, device: torch.device, attention: str) -> Any:
    """A Qwen2 model of the shape with random weights, bf16."""
    config = Qwen2Config(
        **sizes_of(shape),
        max_position_embeddings=4096,
        tie_word_embeddings=shape.hidden < 3584,
        use_sliding_window=False,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=0,
    )
    with device:
        model: Any = Qwen2ForCausalLM._from_config(config, dtype=torch.bfloat16, attn_implementation=attention)
    return model.eval()


def requests_of(scale: Scale) -> list[RolloutRequest]:
    """The prompts with the ends of their completions."""
    prompts = random_prompts(scale.plan.num_prompts, scale.prompt_tokens)
    ends = geometric_ends(scale.plan)
    return [RolloutRequest(str(i), prompts[i], max_tokens=tuple(ends[i])) for i in range(len(prompts))]


def decode_bytes(shape: Shape, requests: list[RolloutRequest], slots: int) -> float:
    """Bytes that decoding must read: the weights once a step, prompts' keys and values once a step (what they share
    once for all), own ones each.

    The steps are those of the longest completion, or more where there are more completions than slots.
    """
    ends = [end for request in requests for end in request.max_tokens or ()]
    steps = max(max(ends), sum(ends) / slots)
    shared = num_shared(len(requests[0].prompt_ids))
    prompts = shared * max(ends)
    prompts += sum((len(request.prompt_ids) - shared) * max(request.max_tokens or ()) for request in requests)
    own = sum(end * (end - 1) // 2 for end in ends)
    return 2.0 * (steps * (shape.layer_weights + shape.head_weights) + shape.cache_values * (prompts + own))


def ours(shape: Shape, scale: Scale, machine: Machine) -> dict[str, Any]:
    """Decode, update and whole step of Thinkwright, each after one to warm up."""
    model = random_qwen2(shape, machine.device, ATTENTION_NAME)
    policy = Policy(model, AutoTokenizer.from_pretrained(SHIPPED["tiny-base"]), machine.device)
    requests, engine = requests_of(scale), NativeEngine(policy, SLOTS)

    def sample(step: int) -> list[tuple[Rollout, ...]]:
        settings = SamplingSettings(scale.plan.group_size, scale.plan.longest, 1.0, seed=0, step=step, ignore_end=True)
        return engine.generate(requests, settings)

    sample(0)
    rollout_seconds, sampled = machine.seconds(lambda: sample(1))
    num_tokens = sum(len(rollout.token_ids) for group in sampled for rollout in group)
    floor = decode_bytes(shape, requests, SLOTS) / machine.bandwidth
    row: dict[str, Any] = {
        "tokens": num_tokens,
        "decode_tokens_per_second": num_tokens / rollout_seconds,
        "decode_floor_share": floor / rollout_seconds,
        "rollout_seconds": rollout_seconds,
    }
    return row | _update(policy, requests, sampled, shape, machine)


def _update(
    policy: Policy, requests: list[RolloutRequest], sampled: list[tuple[Rollout, ...]], shape: Shape, machine: Machine
) -> dict[str, Any]:
    try:
        optimizer = MasterOptimizer(policy.model, lr=1e-6, betas=(0.9, 0.95), weight_decay=0.0)
        budget = MICRO_BATCH_TOKENS if machine.device.type == "cuda" else MICRO_BATCH_TOKENS_CPU
        updater = Updater(policy, None, optimizer, Algorithm(mini_batches=1, kl_coef=0), 1.0, budget, max_tokens=budget)
        groups = groups_of(requests, sampled)
        updater.update(groups[:2], 1e-6, 1.0)
        seconds, _ = machine.seconds(lambda: updater.update(groups, 1e-6, 1.0))
    except torch.OutOfMemoryError:
        return {"update": "out of memory"}
    completions = sum(len(completion) for group in groups for completion in group.completions)
    shared = num_shared(len(groups[0].prompt_ids))
    in_layers = completions + shared + sum(len(group.prompt_ids) - shared for group in groups)
    flops = 6.0 * (shape.layer_weights * in_layers + shape.head_weights * completions)
    return {"update_seconds": seconds, "update_utilisation": flops / seconds / machine.flops}


def generate_batch(shape: Shape, scale: Scale, machine: Machine) -> dict[str, Any]:
    """transformers' continuous batching on a part of the prompts."""
    from transformers import GenerationConfig

    model = random_qwen2(shape, machine.device, "sdpa")
    requests = requests_of(scale)[: scale.peer_prompts]
    settings = GenerationConfig(do_sample=True, temperature=1.0, eos_token_id=-1, pad_token_id=0, max_new_tokens=1)

    def sample() -> int:
        manager = model.init_continuous_batching(generation_config=settings)
        manager.start()
        try:
            num_sent = 0
            for request in requests:
                for member, end in enumerate(request.max_tokens or ()):
                    name = f"{request.prompt_id}/{member}"
                    manager.add_request(list(request.prompt_ids), request_id=name, max_new_tokens=end)
                    num_sent += 1
            results = [manager.get_result(timeout=300) for _ in range(num_sent)]
            if None in results:
                raise RuntimeError("no result within 300 s")
            return sum(len(result.generated_tokens) for result in results)
        finally:
            manager.stop(block=True)

    seconds, num_tokens = machine.seconds(sample)
    return {"tokens": num_tokens, "decode_tokens_per_second": num_tokens / seconds, "rollout_seconds": seconds}


def trl_step(shape: Shape, scale: Scale, machine: Machine, folder: Path) -> dict[str, Any]:
    """TRL's whole step with transformers' continuous batching; its completions all run to the limit."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    model = random_qwen2(shape, machine.device, "sdpa")
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["tiny-base"])
    group_size, longest = scale.plan.group_size, scale.plan.longest
    prompts = [tokenizer.decode(request.prompt_ids) for request in requests_of(scale)[: scale.peer_prompts]]
    settings = GRPOConfig(
        output_dir=str(folder),
        use_cpu=machine.device.type == "cpu",
        bf16=machine.device.type == "cuda",
        per_device_train_batch_size=group_size,
        gradient_accumulation_steps=scale.peer_prompts,
        num_generations=group_size,
        max_completion_length=longest,
        max_steps=2,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        use_transformers_continuous_batching=True,
    )
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        args=settings,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        reward_funcs=lambda completions, **_: [float(len(text) % 7) for text in completions],
    )
    trainer.train()
    step = [row["step_time"] for row in trainer.state.log_history if "step_time" in row][-1]
    tokens = scale.peer_prompts * group_size * longest
    return {"tokens": tokens, "step_seconds": step, "step_tokens_per_second": tokens / step}


def attempt(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures, or in their place why there are none."""
    try:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        row = work()
        return row | ({"peak_gib": torch.cuda.max_memory_allocated() / 2**30} if torch.cuda.is_available() else {})
    except (ImportError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        return {"none": f"{type(error).__name__}: {str(error)[:90]}"}


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown: one row for each model and engine."""
    columns = (
        "decode_tokens_per_second", "decode_floor_share", "rollout_seconds", "update_seconds", "update_utilisation",
        "step_seconds", "step_tokens_per_second", "peak_gib",
    )  # fmt: skip
    lines = ["| model | engine | " + " | ".join(columns) + " | not measured |", "|" + "---|" * (len(columns) + 3)]
    for model, engines in results.items():
        for engine, row in engines.items():
            cells = [f"{row[name]:,.3g}" if name in row else "-" for name in columns]
            lines.append(
                f"| {model} | {engine} | " + " | ".join(cells) + f" | {row.get('none', row.get('update', ''))} |"
            )
    return "\n".join(lines)


def main() -> None:
    """All models, ours and the peers', one table, JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench/gpu.json"))
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scale = CUDA if device.type == "cuda" else CPU
    machine = measured_machine(device)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name, shape in scale.shapes.items():
        engines: dict[str, Callable[[], dict[str, Any]]] = {
            "ours": lambda shape=shape: ours(shape, scale, machine),
            "generate_batch": lambda shape=shape: generate_batch(shape, scale, machine),
            "trl": lambda shape=shape: trl_step(shape, scale, machine, options.out.parent / "trl-gpu"),
        }
        results[name] = {}
        for engine, work in engines.items():
            row = attempt(work)
            if "rollout_seconds" in row and "update_seconds" in row:
                row["step_seconds"] = row["rollout_seconds"] + row["update_seconds"]
                row["step_tokens_per_second"] = row["tokens"] / row["step_seconds"]
            results[name][engine] = row
            options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, tiny shapes"
    print(f"{where}: {machine.flops / 1e12:.1f} TFLOP/s, {machine.bandwidth / 1e9:,.0f} GB/s measured; "
          f"torch {torch.__version__}, transformers {transformers.__version__}")  # fmt: skip
    print(table(results))


if __name__ == "__main__":
    main()
