"""The completions that run at the same time, one decoding step after the other.

A step: every row goes through the model with its last token, new rows come in behind prompts that were read, every row
draws a token, rows that have ended leave. Which completions come and how they are drawn is the owner's matter: all
members of all groups of a call (``group_batch.py``), or requests as they arrive (``live_batch.py``).

Shapes: B running rows, E hidden size, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinkwright.models.cpu_decoder import decode, fits
from thinkwright.models.key_value_store import PAGE, DecodePlan, KeyValueStore
from thinkwright.models.logprobs import logits_from_hidden
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.paged_attention import MIN_ROWS, PagedContext, num_rows_for, round_up, tensor_plan
from thinkwright.models.paged_kernel import KernelContext, is_available
from thinkwright.models.policy import Policy
from thinkwright.models.token_tree import pack_rows
from thinkwright.rollout.completions import Completions, Indices
from thinkwright.rollout.cuda_graphs import GraphedDecoder
from thinkwright.rollout.memory import MemoryPlan, key_value_shape
from thinkwright.rollout.page_table import PageTable
from thinkwright.rollout.prefix import Prefix
from thinkwright.rollout.sampling import DrawnTokens

READ_AHEAD_TOKENS = 1024
"""Prompts are read together up to so many tokens, in advance where there is room: one by one they leave cores idle."""
SHORT_PROMPT_TOKENS, READ_WITH_STEP_TOKENS = 128, 256
"""Prompts of up to so many new tokens may be read beside the rows, so many tokens a step: a pass of its own costs a
short prompt more than its tokens do, and a longer prompt's attention is faster as matrix products."""


@dataclass(frozen=True)
class Taken:
    """What one step drew, all (B,), in the order of the rows as they ran."""

    places: Indices
    """Of each row's completion."""
    tokens: Indices
    logprobs: Indices
    """Under the policy itself."""
    has_ended: Indices


@dataclass(frozen=True)
class _PromptTokens:
    """Of prompts that are read with the next step, all (N,)."""

    tokens: Indices
    slots: Indices
    columns: Indices
    """Each token's place in its prompt slot."""


_NO_TOKENS = _PromptTokens(*np.zeros((3, 0), dtype=np.int64))


class RunningBatch:
    """Which completion stands in which row, and the keys and values of all of them.

    The owner calls, in every step: ``advance``, ``begin`` for new rows, ``logits``, ``take``; and before ``advance``
    ``leave`` for rows that it gives up, and ``read_with_step`` for prompts that may be read beside the rows. Weights
    written to in place between two steps count from the next one on; keys and values computed before stay as they are.
    """

    @torch.inference_mode()
    def __init__(self, policy: Policy, completions: Completions, plan: MemoryPlan, prefix: Prefix) -> None:
        """``completions``: those that rows may stand for. ``prefix``: what prompts may begin with."""
        self._policy, self._completions = policy, completions
        self._num_slots, self._prefix = plan.num_slots, prefix
        self._table = PageTable(plan.num_pages)
        self._store = _empty_store(policy, plan, prefix)
        self._has_kernel = is_available(policy.device, policy.dtype)
        self._is_written_out = self._has_kernel and fits(policy)
        self._graphs = GraphedDecoder(policy, self._store) if policy.device.type == "cuda" else None
        self._exact_head, self._head_version = policy.head.float(), policy.head._version
        # By row.
        self._places = np.zeros(0, dtype=np.int64)
        self._row_prompts = np.zeros(0, dtype=np.int64)
        self._tokens = np.zeros(0, dtype=np.int64)  # drawn last
        self._hidden = self._exact_head.new_zeros(
            0, self._exact_head.shape[1], dtype=policy.dtype
        )  # (B, E), what predicts the next token
        self._new = _NO_TOKENS
        # By prompt slot.
        self._free_slots = list(range(plan.num_prompts))[::-1]
        self._prompt_lengths = np.zeros(plan.num_prompts, dtype=np.int64)
        self._prefix_lengths = np.zeros(plan.num_prompts, dtype=np.int64)
        self._prompt_ends = self._hidden.new_zeros(plan.num_prompts, self._hidden.shape[1])

    @property
    def places(self) -> Indices:
        """The place of each row's completion, (B,)."""
        return self._places

    @property
    def num_free_rows(self) -> int:
        """Rows that may begin now."""
        return self._num_slots - len(self._places)

    @property
    def has_free_prompts(self) -> bool:
        """Whether a prompt can be read now."""
        return bool(self._free_slots)

    @torch.inference_mode()
    def renew_prefix(self, prefix: Prefix) -> None:
        """Put another reading of the same tokens in its place, also for the rows that run."""
        self._prefix = prefix
        self._store.write_prefix(prefix.kept)

    @torch.inference_mode()
    def read_prompts(self, prompts: Iterable[Sequence[int]], min_tokens: int = 0) -> Indices:
        """Compute the keys and values of the next prompts, as many together as there is room for; one at least.

        Returns the prompt slot of each that was read, in order. The owner has seen that a slot is free. Prompts that
        begin with the prefix and those that do not are read in passes of their own. ``min_tokens``: a pass of fewer is
        filled up to so many.
        """
        slots, rows, num_tokens, num_before = [], [], 0, None
        for prompt in prompts:
            num_prefix = self._prefix.length_in(prompt)
            row = prompt[num_prefix:]
            is_full = bool(rows) and num_tokens + len(row) > READ_AHEAD_TOKENS
            if not self._free_slots or is_full or num_before not in (None, num_prefix):
                break
            num_before = num_prefix
            rows.append(row)
            slots.append(self._take_slot(num_prefix, len(row)))
            num_tokens += len(row)
        filler = [(0,) * (min_tokens - num_tokens)] if min_tokens > num_tokens else []
        tree = pack_rows([*rows, *filler], num_before or 0)
        context = PackedContext(tree, self._policy.device, self._prefix.kept if num_before else None)
        hidden = self._policy.packed_hidden_states(tree, context)
        lengths = np.array([len(row) for row in rows])
        columns = np.concatenate([np.arange(length) for length in lengths])
        kept = [(keys[:, :num_tokens], values[:, :num_tokens]) for keys, values in context.kept]
        self._store.write_prompts(kept, self._tensor(np.repeat(slots, lengths)), self._tensor(columns))
        self._prompt_ends[slots] = hidden[self._tensor(np.cumsum(lengths) - 1)]
        return np.array(slots)

    def may_read_with_step(self, prompt: Sequence[int]) -> bool:
        """Whether ``read_with_step`` takes this prompt: one with few new tokens, where the compiled kernel is."""
        return self._has_kernel and len(prompt) - self._prefix.length_in(prompt) <= SHORT_PROMPT_TOKENS

    def read_with_step(self, prompts: Iterable[Sequence[int]]) -> Indices:
        """Let the next ``advance`` read the next prompts, as many as there is room for.

        Returns the prompt slot of each, in order. The owner has asked ``may_read_with_step`` for each.
        """
        slots, tokens, columns = [], [], []
        for prompt in prompts:
            num_prefix = self._prefix.length_in(prompt)
            row = prompt[num_prefix:]
            if not self._free_slots or (slots and len(tokens) + len(row) > READ_WITH_STEP_TOKENS):
                break
            slots.append(self._take_slot(num_prefix, len(row)))
            tokens += row
            columns += range(len(row))
        found = np.array(slots, dtype=np.int64)
        token_slots = np.repeat(found, self._prompt_lengths[found])
        self._new = _PromptTokens(np.array(tokens, dtype=np.int64), token_slots, np.array(columns, dtype=np.int64))
        return found

    def _take_slot(self, num_prefix: int, length: int) -> int:
        slot = self._free_slots.pop()
        self._prefix_lengths[slot], self._prompt_lengths[slot] = num_prefix, length
        return slot

    def free_prompts(self, slots: Iterable[int]) -> None:
        """Prompts that no row needs any more."""
        self._free_slots += slots
        self._free_slots.sort(reverse=True)

    @torch.inference_mode()
    def advance(self) -> None:
        """Send the token drawn last in each row through the model, and the prompts that are read with it."""
        new, self._new = self._new, _NO_TOKENS
        num_rows = len(self._tokens)
        if num_rows + len(new.tokens) == 0:
            self._hidden = self._hidden[:0]
            return
        hidden = self._forward(new)
        self._hidden = hidden[:num_rows]
        if len(new.tokens):
            ends = np.flatnonzero(new.columns + 1 == self._prompt_lengths[new.slots])
            self._prompt_ends[self._tensor(new.slots[ends])] = hidden[self._tensor(num_rows + ends)]

    @torch.inference_mode()
    def begin(self, places: Indices, slots: Indices) -> None:
        """New rows behind the others, whose completions continue the prompts in these slots."""
        self._places = np.concatenate((self._places, places))
        self._row_prompts = np.concatenate((self._row_prompts, slots))
        self._table.add_rows(len(places))
        self._hidden = torch.cat((self._hidden, self._prompt_ends[self._tensor(slots)]))

    @torch.inference_mode()
    def logits(self) -> Tensor:
        """Of each row's next token (B, V), in fp32."""
        # Padded to at least a few rows, so that a row's rounding does not depend on how many there are.
        hidden = self._hidden
        if len(hidden) < MIN_ROWS:
            hidden = torch.nn.functional.pad(hidden, (0, 0, 0, MIN_ROWS - len(hidden)))
        return logits_from_hidden(hidden, self._head())[: len(self._hidden)]

    def next_uniforms(self) -> Tensor:
        """The random number of each row's next token (B,)."""
        return self._tensor(self._completions.next_uniforms(self._places))

    def next_forced(self) -> Tensor | None:
        """The token to be forced next in each row (B,), -1 for none; None if none is ever forced in this batch."""
        forced = self._completions.next_forced(self._places)
        return None if forced is None else self._tensor(forced)

    @torch.inference_mode()
    def take(self, drawn: DrawnTokens) -> Taken:
        """Append a token to the completion of each row; those that have ended leave."""
        tokens, logprobs, untempered = (
            values.cpu().numpy() for values in (drawn.tokens, drawn.logprobs, drawn.untempered_logprobs)
        )
        has_ended = self._completions.append(self._places, tokens, logprobs, untempered)
        taken = Taken(self._places, tokens, untempered, has_ended)
        self._tokens = tokens
        if has_ended.any():
            self.leave(has_ended)
        return taken

    @torch.inference_mode()
    def leave(self, is_leaving: Indices) -> None:
        """Take rows (B,) out of the batch, and their pages out of the pool."""
        movers, holes = self._table.keep_rows(~is_leaving)
        if len(movers):
            self._store.move_pages(self._tensor(movers), self._tensor(holes))
        self._places, self._row_prompts = self._places[~is_leaving], self._row_prompts[~is_leaving]
        self._tokens = self._tokens[~is_leaving]

    def _head(self) -> Tensor:
        """The head's weight in fp32, which may be a copy; made anew where the weight was written to."""
        if (head := self._policy.head)._version != self._head_version:
            self._exact_head, self._head_version = head.float(), head._version
        return self._exact_head

    def _forward(self, new: _PromptTokens) -> Tensor:
        """Send drawn tokens and prompts' tokens through the model: hidden states (B + N, E) predict the next ones."""
        tokens = np.concatenate((self._tokens, new.tokens))
        prompts = np.concatenate((self._row_prompts, new.slots))
        prompt_lengths = np.concatenate((self._prompt_lengths[self._row_prompts], new.columns + 1))
        own_lengths = np.concatenate((self._table.lengths + 1, np.zeros_like(new.tokens)))
        plan = DecodePlan(
            row_prompts=prompts,
            prefix_lengths=self._prefix_lengths[prompts],
            prompt_lengths=prompt_lengths,
            own_lengths=own_lengths,
            page_table=_with_rows(self._table.write(), len(tokens)),
            num_pages=self._table.num_pages,
        )
        num_rows = round_up(len(tokens)) if self._has_kernel else num_rows_for(plan)
        positions = plan.prefix_lengths + prompt_lengths + own_lengths - 1
        inputs = self._tensor(_with_rows(np.stack((tokens, positions), axis=1), num_rows)).T[:, :, None]
        return self._hidden_states(inputs, plan)[: len(tokens), 0]

    def _hidden_states(self, inputs: Tensor, plan: DecodePlan) -> Tensor:
        """Hidden states (B, 1, E) of tokens and positions (2, B, 1), by the fastest way the device has."""
        if self._is_written_out:
            tokens, positions = inputs[..., 0].contiguous()
            return decode(self._policy, tokens, positions, KernelContext(self._store, plan))[:, None]
        if self._has_kernel:
            return self._policy.hidden_states(inputs[0], inputs[1], KernelContext(self._store, plan))
        num_heads = self._policy.model.config.get_text_config().num_attention_heads
        min_lanes = MIN_ROWS * self._store.page_keys.shape[2] // num_heads
        indices = tensor_plan(plan, self._store, inputs.shape[1], min_lanes)
        if self._graphs is not None:
            return self._graphs.hidden_states(inputs, indices)
        return self._policy.hidden_states(inputs[0], inputs[1], PagedContext(self._store, indices))

    def _tensor(self, array: Indices) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._policy.device)


def _with_rows(array: Indices, num_rows: int) -> Indices:
    """So many rows, zeros behind those of ``array``."""
    found = np.zeros((num_rows, array.shape[1]), dtype=np.int64)
    found[: len(array)] = array
    return found


def _empty_store(policy: Policy, plan: MemoryPlan, prefix: Prefix) -> KeyValueStore:
    layers, heads, size = key_value_shape(policy)
    pages = layers, plan.num_pages, heads, PAGE, size
    prompts = layers, plan.num_prompts, heads, plan.prompt_tokens, size
    zeros = (torch.zeros(shape, dtype=policy.dtype, device=policy.device) for shape in (pages, pages, prompts, prompts))
    return KeyValueStore(*zeros, prefix=list(prefix.kept))
