"""TRL's GRPOTrainer: whole steps, driven from a callback that waits for the parent's order before each of them.

``box`` changes nothing but ``use_cpu`` and the number of completions: bf16 autocast, activation checkpointing and 8
rows a micro-batch stay. ``tuned`` is fp32 without checkpointing. ``tuned_bf16`` keeps the autocast, which helps where
the processor multiplies faster in bf16. ``continuous`` is ``tuned`` with transformers' continuous batching.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from bench.arms.ends import ForcedEnds
from bench.arms.hf_continuous import cache_settings, generate_rows
from bench.arms.memory import PeakMemory
from bench.arms.protocol import Channel
from bench.workloads import TEMPERATURE, Workload, read_workload

EPOCH_STEPS = 64
"""Steps that the data set holds, so that the trainer does not begin an epoch with every step."""
TUNED = {"gradient_checkpointing": False, "per_device_train_batch_size": 16}
"""16 rows are as fast as 32 or 64 and take the least memory."""
SETTINGS: dict[str, dict[str, Any]] = {
    "box": {},
    "tuned": {**TUNED, "bf16": False},
    "tuned_bf16": {**TUNED, "bf16": True},
    "continuous": {**TUNED, "bf16": False, "use_transformers_continuous_batching": True},
}


class StepServer(TrainerCallback):
    """One optimizer step per order, timed; the time of generation is taken apart by the trainer's own method."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._order: dict[str, Any] | None = None
        self._memory: PeakMemory | None = None
        self._settings = settings
        self._rollout_seconds, self._num_tokens = 0.0, 0

    def watch(self, trainer: GRPOTrainer) -> None:
        """Time the trainer's sampling, and start watching memory where its update begins."""
        generate, prepare = trainer._generate_single_turn, trainer._generate_and_score_completions

        def timed_generate(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            completions, logprobs = generate(*args, **kwargs)
            self._rollout_seconds, self._num_tokens = time.perf_counter() - start, sum(map(len, completions))
            return completions, logprobs

        def watched_prepare(*args: Any, **kwargs: Any) -> Any:
            result = prepare(*args, **kwargs)
            if self._order["measures_memory"]:
                self._memory = PeakMemory()
            return result

        trainer._generate_single_turn = timed_generate
        trainer._generate_and_score_completions = watched_prepare

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The arm is loaded."""
        self._channel.ready(self._settings)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for the order; leave when there is none left."""
        self._order = self._channel.wait()
        if self._order is None:
            raise SystemExit
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Answer with the step's times."""
        seconds = time.perf_counter() - self._start
        answer = {
            "step_seconds": seconds,
            "rollout_seconds": self._rollout_seconds,
            "update_seconds": seconds - self._rollout_seconds,
            "tokens": self._num_tokens,
        }
        if self._memory is not None:
            answer |= self._memory.measured()
            self._memory = None
        self._channel.answer(answer)


def grpo_config(workload: Workload, settings: dict[str, Any], folder: str) -> GRPOConfig:
    """One optimizer step over all completions of the workload."""
    rows = len(workload.rows)
    micro_batch = min(settings.get("per_device_train_batch_size", 8), rows)
    config: dict[str, Any] = {**settings, "per_device_train_batch_size": micro_batch}
    if "use_transformers_continuous_batching" in settings:
        config["transformers_continuous_batching_config"] = cache_settings(workload)
    return GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        gradient_accumulation_steps=rows // micro_batch,
        num_generations=workload.group_size,
        max_completion_length=workload.longest,
        temperature=TEMPERATURE,
        max_steps=1_000_000,
        report_to="none",
        save_strategy="no",
        shuffle_dataset=False,
        disable_tqdm=True,
        **config,
    )


def force_ends(trainer: GRPOTrainer, workload: Workload, end_id: int) -> None:
    """Have the model's ``generate`` end each row where the workload says."""
    generate, ends = trainer.model.generate, [end for _, end in workload.rows]

    def generate_with_ends(input_ids: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        processor = ForcedEnds(ends, input_ids.shape[1], end_id)
        return generate(input_ids=input_ids, logits_processor=[processor], **kwargs)

    trainer.model.generate = generate_with_ends


def force_ends_continuous(trainer: GRPOTrainer, workload: Workload) -> None:
    """Have the model's ``generate_batch`` end each request where the workload says."""
    model, ends = trainer.model, [end for _, end in workload.rows]

    def generate_batch_with_ends(prompts: list[list[int]], **kwargs: Any) -> dict[str, Any]:
        sampling, config = kwargs["generation_config"], kwargs["continuous_batching_config"]
        return generate_rows(model, prompts, ends, sampling, config)

    model.generate_batch = generate_batch_with_ends


def main() -> None:
    """Serve steps until the parent is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("--setting", choices=tuple(SETTINGS), required=True)
    options = parser.parse_args()
    channel, workload = Channel(), read_workload(options.workload)
    tokenizer = AutoTokenizer.from_pretrained(workload.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(workload.model, dtype=torch.float32, attn_implementation="sdpa")
    folder = str(Path(options.workload).with_name("trl"))
    config = grpo_config(workload, SETTINGS[options.setting], folder)
    names = ("bf16", "gradient_checkpointing", "per_device_train_batch_size", "gradient_accumulation_steps", "optim")
    server = StepServer(channel, {name: str(getattr(config, name)) for name in names})
    calls = iter(range(1_000_000))

    def rewards(prompts: list[str], **_: Any) -> list[float]:
        step, group = next(calls), workload.group_size
        return [workload.reward(step, row // group, row % group) for row in range(len(prompts))]

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rewards,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": workload.prompts * EPOCH_STEPS}),
        processing_class=tokenizer,
        callbacks=[server],
    )
    if options.setting == "continuous":
        force_ends_continuous(trainer, workload)
    else:
        force_ends(trainer, workload, tokenizer.eos_token_id)
    server.watch(trainer)
    trainer.train()


if __name__ == "__main__":
    main()
