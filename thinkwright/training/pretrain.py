"""Pre-trains the tiny world's base model from nothing on its generated web.

The loss is next-token cross-entropy on the replies. Documents that follow the same preamble share one computation of
it (the same mechanism by which completions share a prompt). Three quarters of the batches stand after the R1-Zero
preamble, the rest only after the end of another document.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from thinkwright.chat.template import R1_ZERO_PREAMBLE
from thinkwright.config.recipe import PretrainRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.models.tokenizer import train_tokenizer
from thinkwright.run_folder import append_event, append_jsonl, drop_later
from thinkwright.tasks.tiny_world.corpus import Document, documents
from thinkwright.training.checkpoint import Progress, newest_checkpoint, read_tensors, save_checkpoint, tell_damage
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.memory_limit import MicroBatch
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.supervised import Row, backward
from thinkwright.types import Metrics

PREAMBLE_SHARE = 0.75
TOKENIZER_DOCUMENTS = 40_000
HEAD_SIZE = 64


def starting_policy(recipe: PretrainRecipe, device: torch.device, dtype: torch.dtype) -> Policy:
    """The model to go on from, or a Qwen2 model with random weights and a tokenizer trained on the corpus."""
    if recipe.start is not None:
        return load_policy(resolve_model_name(recipe.start), device=device, dtype=dtype)
    sample = itertools.islice(documents(recipe.seed, recipe.styles), TOKENIZER_DOCUMENTS)
    texts = (f"{R1_ZERO_PREAMBLE}{d.turn}{d.reply}" for d in sample)
    tokenizer: Any = train_tokenizer(texts, recipe.model.vocab_size)
    config = Qwen2Config(
        vocab_size=recipe.model.vocab_size,
        hidden_size=recipe.model.hidden_size,
        intermediate_size=recipe.model.intermediate_size,
        num_hidden_layers=recipe.model.num_layers,
        num_attention_heads=recipe.model.hidden_size // HEAD_SIZE,
        num_key_value_heads=recipe.model.num_kv_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        use_sliding_window=False,
    )
    torch.manual_seed(recipe.seed)
    # Made in its dtype, not converted to it: conversion would round the rotary frequencies as well.
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=ATTENTION_NAME).to(device)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Policy(model.eval(), tokenizer, device)


class PretrainTrainer:
    """The state of one pre-training run."""

    def __init__(self, recipe: PretrainRecipe, policy: Policy, folder: Path) -> None:
        self.recipe, self.policy, self.folder = recipe, policy, folder
        self.optimizer = MasterOptimizer(
            policy.model, lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, use_muon=True
        )
        self.progress = Progress(next_step=0, policy_version=0, rollout_tokens=0, wall_seconds=0.0)
        self._micro_batch = MicroBatch(recipe.micro_batch_tokens, SINGLE)
        self._started = time.monotonic()

    def resume(self, display: Display) -> None:
        """Take up the newest whole checkpoint, if any, and drop from the run folder what came after it."""
        found = newest_checkpoint(self.folder / "checkpoints")
        if found is not None:
            self.progress, checkpoint = found.progress, found.path
            self.optimizer.restore(lambda tensors: read_tensors(checkpoint, tensors))
            self._started = time.monotonic() - self.progress.wall_seconds
        drop_later(self.folder, self.progress.next_step)
        tell_damage(self.folder, found, display)

    def train(self, display: Display, stop: StopRequest) -> None:
        """Run the remaining steps; on a stop request leave a checkpoint and return early."""
        recipe, policy = self.recipe, self.policy
        preamble = policy.tokenizer.encode(R1_ZERO_PREAMBLE, add_special_tokens=False)
        rng, stream = Random(f"pretrain/{recipe.seed}"), documents(recipe.seed + 1, recipe.styles)
        # The documents of steps already made are written again and passed over: exact, and seconds for a whole run.
        rng_draws = [rng.random() for _ in range(recipe.steps)]
        next(itertools.islice(stream, self._num_seen(), self._num_seen()), None)
        rows = _rows(policy, stream)
        while self.progress.next_step < recipe.steps and not stop.is_requested:
            step, start = self.progress.next_step, time.monotonic()
            batch = list(itertools.islice(rows, recipe.documents_per_step))
            prefix = preamble if rng_draws[step] < PREAMBLE_SHARE else [policy.tokenizer.eos_token_id]
            metrics = self._step(step, prefix, batch)
            metrics["time/step_seconds"] = time.monotonic() - start
            self.progress = Progress(step + 1, step + 1, 0, time.monotonic() - self._started)
            append_jsonl(self.folder / "metrics.jsonl", {"step": step, **metrics})
            for text in self._micro_batch.told():
                display.note(text)
                append_event(self.folder, "memory", step=step, text=text)
            display.step(step, recipe.steps, metrics)
            if self.progress.next_step % recipe.checkpoint_steps == 0:
                self.save()
        if self.progress.next_step > 0:
            self.save()

    def save(self) -> None:
        """Leave a checkpoint of the step to run next."""
        save_checkpoint(
            self.folder / "checkpoints", self.progress, self.optimizer.tensors(), kept=self.recipe.kept_checkpoints
        )

    def _num_seen(self) -> int:
        return self.progress.next_step * self.recipe.documents_per_step

    def _step(self, step: int, prefix: list[int], rows: list[Row]) -> Metrics:
        loss = self._micro_batch.within(
            lambda max_tokens: backward(self.policy, prefix, rows, max_tokens), self.optimizer.forget_gradients
        )
        norm = self.optimizer.gradient_norm(loss)
        lr = self.recipe.lr * min(1.0, (step + 1) / self.recipe.warmup_steps) * (1 - step / self.recipe.steps)
        self.optimizer.step(lr, norm, max_grad_norm=1.0)
        return {"loss/nll": loss, "optim/lr": lr, "optim/grad_norm": norm}


def _rows(policy: Policy, stream: Iterator[Document]) -> Iterator[Row]:
    """Turn, reply and end of each document; the turn is read only."""
    while True:
        chunk = list(itertools.islice(stream, 2048))
        turns = policy.tokenizer([d.turn for d in chunk], add_special_tokens=False)["input_ids"]
        replies = policy.tokenizer([d.reply for d in chunk], add_special_tokens=False)["input_ids"]
        for turn, reply in zip(turns, replies, strict=True):
            yield [*turn, *reply, policy.tokenizer.eos_token_id], len(turn)
