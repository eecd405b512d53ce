"""The completions that run at the same time, one decoding step after the other.

A step: free slots take the next completions, every row draws a token, rows that have ended leave, the others go through
the model. Shapes: B running rows, E hidden size.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thinkwright.models.key_value_store import PAGE, DecodePlan, KeyValueStore
from thinkwright.models.logprobs import logits_from_hidden
from thinkwright.models.packed_attention import KeyValue, PackedContext
from thinkwright.models.paged_attention import MIN_ROWS, PagedContext, num_rows_for, round_up, tensor_plan
from thinkwright.models.paged_kernel import KernelContext, is_available
from thinkwright.models.policy import Policy
from thinkwright.models.token_tree import pack_rows
from thinkwright.rollout.completions import Completions, Indices
from thinkwright.rollout.cuda_graphs import GraphedDecoder
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.memory import MemoryPlan, key_value_shape
from thinkwright.rollout.page_table import PageTable
from thinkwright.rollout.sampling import draw_tokens

READ_AHEAD_TOKENS = 1024
"""Prompts are read together up to so many tokens, in advance where there is room: one by one they leave cores idle."""


class RunningBatch:
    """The state of one call: which completion stands in which row, and the keys and values of all of them."""

    @torch.inference_mode()
    def __init__(
        self,
        policy: Policy,
        requests: Sequence[RolloutRequest],
        settings: SamplingSettings,
        plan: MemoryPlan,
        prefix: Sequence[KeyValue],
    ) -> None:
        self._policy, self._requests, self._settings = policy, requests, settings
        self.completions = Completions(requests, settings, policy.tokenizer, policy.end_ids)
        self._num_slots, self._prefix = plan.num_slots, prefix
        self._num_prefix = prefix[0][0].shape[1]
        self._table = PageTable(plan.num_pages)
        self._store = _empty_store(policy, plan, prefix)
        self._has_kernel = is_available(policy.device, policy.dtype)
        self._graphs = GraphedDecoder(policy, self._store) if policy.device.type == "cuda" else None
        self._head = policy.head.float()
        # By row.
        self._rows = np.zeros(0, dtype=np.int64)
        self._row_prompts = np.zeros(0, dtype=np.int64)
        self._hidden = self._head.new_zeros(
            0, self._head.shape[1], dtype=policy.dtype
        )  # (B, E), what predicts the next token
        # By request.
        self._prompt_slots = np.full(len(requests), -1)
        self._num_open = np.full(len(requests), settings.group_size)
        # By prompt slot.
        self._free_slots = list(range(plan.num_prompts))[::-1]
        self._prompt_lengths = np.zeros(plan.num_prompts, dtype=np.int64)
        self._prompt_ends = self._head.new_zeros(plan.num_prompts, self._head.shape[1], dtype=policy.dtype)
        self._next_completion = self._next_request = 0

    @property
    def is_running(self) -> bool:
        """Whether any completion has not ended."""
        return bool(self._num_open.any())

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Draw a token for each running completion; returns the requests whose groups are now complete."""
        self._fill_slots()
        tokens, has_ended = self._draw()
        ended = self._rows[has_ended] // self._settings.group_size
        np.subtract.at(self._num_open, ended, 1)
        complete = [int(request) for request in np.unique(ended) if self._num_open[request] == 0]
        self._free_slots += [int(self._prompt_slots[request]) for request in complete]
        self._free_slots.sort(reverse=True)
        if has_ended.any():
            self._leave(has_ended)
        self._hidden = self._forward(tokens[~has_ended]) if len(self._rows) else self._hidden[:0]
        return complete

    def _fill_slots(self) -> None:
        """Give free slots to the next completions, as long as their prompts are read or can be."""
        size, first = self._settings.group_size, self._next_completion
        count = min(self._num_slots - len(self._rows), len(self.completions) - first)
        while count > 0 and self._next_request * size < first + count and self._free_slots:
            self._read_prompts()
        new = np.arange(first, min(first + count, self._next_request * size))
        if len(new) == 0:
            return
        for index in new:
            self.completions.begin(int(index))
        slots = self._prompt_slots[new // size]
        self._next_completion += len(new)
        self._rows = np.concatenate((self._rows, new))
        self._row_prompts = np.concatenate((self._row_prompts, slots))
        self._table.add_rows(len(new))
        self._hidden = torch.cat((self._hidden, self._prompt_ends[self._tensor(slots)]))

    def _read_prompts(self) -> None:
        """Compute the keys and values of the next prompts, several at once, into free prompt slots."""
        slots, rows, num_tokens = [], [], 0
        while self._free_slots and self._next_request < len(self._requests):
            row = self._requests[self._next_request].prompt_ids[self._num_prefix :]
            if rows and num_tokens + len(row) > READ_AHEAD_TOKENS:
                break
            rows.append(row)
            slots.append(self._free_slots.pop())
            num_tokens += len(row)
            self._prompt_slots[self._next_request] = slots[-1]
            self._next_request += 1
        tree = pack_rows(rows, self._num_prefix)
        context = PackedContext(tree, self._policy.device, self._prefix if self._num_prefix else None)
        hidden = self._policy.packed_hidden_states(tree, context)
        lengths = np.array([len(row) for row in rows])
        columns = np.concatenate([np.arange(length) for length in lengths])
        self._store.write_prompts(context.kept, self._tensor(np.repeat(slots, lengths)), self._tensor(columns))
        self._prompt_lengths[slots] = lengths
        self._prompt_ends[slots] = hidden[self._tensor(np.cumsum(lengths) - 1)]

    def _draw(self) -> tuple[Indices, Indices]:
        """The next token of each row (B,), and whether its completion has ended with it."""
        uniform = self._tensor(self.completions.next_uniforms(self._rows))
        forced = self.completions.next_forced(self._rows)
        # Padded to at least a few rows, so that a row's rounding does not depend on how many there are.
        missing = max(0, MIN_ROWS - len(self._rows))
        hidden = torch.nn.functional.pad(self._hidden, (0, 0, 0, missing))
        logits = logits_from_hidden(hidden, self._head)[: len(self._rows)]
        drawn = draw_tokens(logits, uniform, self._settings, None if forced is None else self._tensor(forced))
        tokens, logprobs, untempered = (
            values.cpu().numpy() for values in (drawn.tokens, drawn.logprobs, drawn.untempered_logprobs)
        )
        return tokens, self.completions.append(self._rows, tokens, logprobs, untempered)

    def _leave(self, has_ended: Indices) -> None:
        """Take the rows that have ended out of the batch, and their pages out of the pool."""
        movers, holes = self._table.keep_rows(~has_ended)
        if len(movers):
            self._store.move_pages(self._tensor(movers), self._tensor(holes))
        self._rows, self._row_prompts = self._rows[~has_ended], self._row_prompts[~has_ended]

    def _forward(self, tokens: Indices) -> Tensor:
        """Send the drawn tokens (B,) through the model; the hidden states (B, E) predict the next ones."""
        positions = self._num_prefix + self._prompt_lengths[self._row_prompts] + self._table.lengths
        plan = DecodePlan(
            row_prompts=self._row_prompts,
            prompt_lengths=self._prompt_lengths[self._row_prompts],
            own_lengths=self._table.lengths + 1,
            page_table=self._table.write(),
            num_pages=self._table.num_pages,
        )
        num_rows = round_up(len(tokens)) if self._has_kernel else num_rows_for(plan)
        fillers = (0, 0), (0, num_rows - len(tokens))
        inputs = self._tensor(np.pad(np.stack((tokens, positions)), fillers))[:, :, None]
        return self._hidden_states(inputs, plan)[: len(tokens), 0]

    def _hidden_states(self, inputs: Tensor, plan: DecodePlan) -> Tensor:
        """Hidden states (B, 1, E) of tokens and positions (2, B, 1), by the fastest way the device has."""
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


def _empty_store(policy: Policy, plan: MemoryPlan, prefix: Sequence[KeyValue]) -> KeyValueStore:
    layers, heads, size = key_value_shape(policy)
    pages = layers, plan.num_pages, heads, PAGE, size
    prompts = layers, plan.num_prompts, heads, plan.prompt_tokens, size
    zeros = (torch.zeros(shape, dtype=policy.dtype, device=policy.device) for shape in (pages, pages, prompts, prompts))
    return KeyValueStore(*zeros, prefix=list(prefix))
