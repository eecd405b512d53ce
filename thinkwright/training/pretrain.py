"""Pre-trains the tiny world's base model from nothing on its generated web.

The loss is next-token cross-entropy on the replies. Documents that follow the same preamble share one computation of
it (the same mechanism by which completions share a prompt). Three quarters of the batches stand after the R1-Zero
preamble, the rest only after the end of another document.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from random import Random

import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from thinkwright.chat.template import R1_ZERO_PREAMBLE
from thinkwright.config.recipe import PretrainRecipe
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, choose_device, choose_dtype, pad_rows
from thinkwright.models.tokenizer import train_tokenizer
from thinkwright.tasks.tiny_world.corpus import Document, documents
from thinkwright.training.optimizer import MasterOptimizer

PREAMBLE_SHARE = 0.75
TOKENIZER_DOCUMENTS = 40_000
HEAD_SIZE = 64

Row = tuple[list[int], int]
"""Token ids of turn, reply and end; and how many of them belong to the turn."""


def new_base_policy(recipe: PretrainRecipe, seed: int) -> Policy:
    """A Qwen2 model with random weights and a tokenizer trained on the corpus."""
    texts = (f"{R1_ZERO_PREAMBLE}{d.turn}{d.reply}" for d in itertools.islice(documents(seed), TOKENIZER_DOCUMENTS))
    tokenizer = train_tokenizer(texts, recipe.model.vocab_size)
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
        attn_implementation=ATTENTION_NAME,
    )
    torch.manual_seed(seed)
    device = choose_device(recipe.machine.device)
    model = Qwen2ForCausalLM(config).to(device, choose_dtype(recipe.machine.dtype, device))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Policy(model.train(), tokenizer, device)


def pretrain(policy: Policy, recipe: PretrainRecipe, seed: int, log: Callable[[dict[str, float]], None]) -> None:
    """Train ``policy`` for ``recipe.steps`` steps, calling ``log`` with each step's metrics."""
    optimizer = MasterOptimizer(
        policy.model, lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, use_muon=True
    )
    preamble = policy.tokenizer.encode(R1_ZERO_PREAMBLE, add_special_tokens=False)
    rng, stream = Random(f"pretrain/{seed}"), _rows(policy, documents(seed + 1))
    for step in range(recipe.steps):
        rows = list(itertools.islice(stream, recipe.documents_per_step))
        prefix = preamble if rng.random() < PREAMBLE_SHARE else [policy.tokenizer.eos_token_id]
        loss = _backward(policy, prefix, rows, recipe.micro_batch_tokens)
        lr = recipe.lr * min(1.0, (step + 1) / recipe.warmup_steps) * (1 - step / recipe.steps)
        norm = optimizer.step(lr, max_grad_norm=1.0)
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {step}")
        log({"step": step, "loss/nll": loss, "optim/lr": lr, "optim/grad_norm": norm})
    policy.model.eval()


def _rows(policy: Policy, stream: Iterator[Document]) -> Iterator[Row]:
    while True:
        chunk = list(itertools.islice(stream, 2048))
        turns = policy.tokenizer([d.turn for d in chunk], add_special_tokens=False)["input_ids"]
        replies = policy.tokenizer([d.reply for d in chunk], add_special_tokens=False)["input_ids"]
        for turn, reply in zip(turns, replies, strict=True):
            yield [*turn, *reply, policy.tokenizer.eos_token_id], len(turn)


def _backward(policy: Policy, prefix: list[int], rows: list[Row], micro_batch_tokens: int) -> float:
    """Accumulate the gradient of the mean loss over all reply tokens; rows of like length go together."""
    num_targets = sum(len(tokens) - num_turn for tokens, num_turn in rows)
    total = 0.0
    for batch in _micro_batches(sorted(rows, key=lambda row: len(row[0])), micro_batch_tokens):
        loss = _loss_sum(policy, prefix, batch) / num_targets
        loss.backward()
        total += float(loss.detach())
    return total


def _micro_batches(rows: list[Row], max_tokens: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        if batch and len(row[0]) * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _loss_sum(policy: Policy, prefix: list[int], rows: list[Row]) -> Tensor:
    """Sum of -log p over the reply tokens of the rows, each after the shared prefix."""
    tokens = pad_rows([row for row, _ in rows], policy.device)  # (S, T)
    context, last = policy.read_prompts([prefix])
    hidden = policy.completion_hidden_states(context, last, tokens)  # (S, T, E)
    is_target = torch.zeros_like(tokens, dtype=torch.bool)
    for i, (row, num_turn) in enumerate(rows):
        is_target[i, num_turn : len(row)] = True
    logprobs, _ = token_logprobs(hidden[is_target], policy.head, tokens[is_target])
    return -logprobs.sum()
