"""Pre-trains the tiny world's base model from nothing on its generated web.

The loss is next-token cross-entropy on the replies. Documents that follow the same preamble share one computation of
it (the same mechanism by which completions share a prompt). Three quarters of the batches stand after the R1-Zero
preamble, the rest only after the end of another document.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config

from thinkwright.chat.template import R1_ZERO_PREAMBLE
from thinkwright.config.recipe import PretrainRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.models.tokenizer import train_tokenizer
from thinkwright.tasks.tiny_world.corpus import Document, documents
from thinkwright.training.checkpoint import Progress
from thinkwright.training.loop import Read, TrainingLoop
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


class PretrainTrainer(TrainingLoop[Metrics]):
    """The state of one pre-training run."""

    def __init__(
        self, recipe: PretrainRecipe, policy: Policy, folder: Path, started: float, measure: Callable[[Display], None]
    ) -> None:
        """``started``: see ``TrainingLoop``. ``measure``: what is measured of the base when it is done."""
        super().__init__(recipe, folder, started, SINGLE)
        self.recipe, self.policy = recipe, policy
        self.optimizer = MasterOptimizer(
            policy.model, lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, use_muon=True
        )
        self._micro_batch, self._measure = MicroBatch(recipe.micro_batch_tokens, SINGLE), measure
        self._preamble = policy.encode(R1_ZERO_PREAMBLE)
        rng = Random(f"pretrain/{recipe.seed}")
        self._is_after_preamble = [rng.random() < PREAMBLE_SHARE for _ in range(recipe.steps)]
        self._rows: Iterator[Row] | None = None

    @property
    def num_steps(self) -> int:
        """See ``TrainingLoop``."""
        return self.recipe.steps

    def run_step(self, step: int) -> Metrics:
        """One update on the step's documents. TrainingError, weights untouched, if loss or gradient is not finite."""
        start = time.monotonic()
        rows = self._next_rows()
        prefix = self._preamble if self._is_after_preamble[step] else [self.policy.tokenizer.eos_token_id]
        loss = self._micro_batch.within(
            lambda max_tokens: backward(self.policy, prefix, rows, max_tokens), self.optimizer.forget_gradients
        )
        norm = self.optimizer.gradient_norm(loss)
        lr = self.recipe.lr * min(1.0, (step + 1) / self.recipe.warmup_steps) * (1 - step / self.recipe.steps)
        self.optimizer.step(lr, norm, max_grad_norm=1.0)
        self.progress = Progress(step + 1, step + 1, 0, self.wall_seconds())
        seconds = time.monotonic() - start
        return {"loss/nll": loss, "optim/lr": lr, "optim/grad_norm": norm, "time/step_seconds": seconds}

    def _next_rows(self) -> list[Row]:
        """The step's documents. Those of steps already made are written again and passed over: exact, and seconds for a
        whole run."""
        if self._rows is None:
            stream = documents(self.recipe.seed + 1, self.recipe.styles)
            num_seen = self.progress.next_step * self.recipe.documents_per_step
            self._rows = _rows(self.policy, itertools.islice(stream, num_seen, None))
        return list(itertools.islice(self._rows, self.recipe.documents_per_step))

    def record(self, step: int, made: Metrics, display: Display) -> None:
        """See ``TrainingLoop``."""
        self.record_metrics(step, made, self._micro_batch.told(), display)

    def evaluates_before(self, step: int) -> bool:
        """Never: the base is measured when it is done."""
        return False

    def evaluate(self, display: Display) -> None:
        """See ``TrainingLoop``."""
        self._measure(display)

    def publish(self) -> None:
        """See ``TrainingLoop``: the policy that learns is the one that is saved."""

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainingLoop``."""
        return self.optimizer.tensors()

    def restore(self, read: Read) -> None:
        """See ``TrainingLoop``."""
        self.optimizer.restore(read)


def _rows(policy: Policy, stream: Iterator[Document]) -> Iterator[Row]:
    """Turn, reply and end of each document; the turn is read only."""
    while True:
        chunk = list(itertools.islice(stream, 2048))
        turns = policy.tokenizer([d.turn for d in chunk], add_special_tokens=False)["input_ids"]
        replies = policy.tokenizer([d.reply for d in chunk], add_special_tokens=False)["input_ids"]
        for turn, reply in zip(turns, replies, strict=True):
            yield [*turn, *reply, policy.tokenizer.eos_token_id], len(turn)
