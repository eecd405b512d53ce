"""Attention of sampling in torch operations: one new token for each running completion, three parts under one softmax.

Prefix, prompts and pages (``key_value_store.py``) are each one batched matrix product: prompts over the lanes (rows) of
each prompt slot, pages over all live pages, so that products are padded by less than one page a completion, whatever
the others' lengths. Sizes are rounded up, so that kernels meet few different shapes.

Shapes: B rows (running completions and fillers), H query heads, K key-value heads, R = H / K, D head size, P prompt
slots with G lanes, L tokens of the longest prompt, C pages of the longest row, n pages.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinkwright.models.key_value_store import PAGE, DecodePlan, KeyValueStore

MIN_ROWS = 8
"""Matrix products with fewer rows than this take other kernels, whose rounding differs."""


@dataclass(frozen=True)
class TensorPlan:
    """A ``DecodePlan`` as the indices that the torch operations need."""

    page_rows: Tensor
    """(n,) the row each page belongs to."""
    page_columns: Tensor
    """(n,) its place among the row's pages."""
    write_pages: Tensor
    """(B,) the page that takes the row's new token."""
    write_offsets: Tensor
    """(B,) its place within the page."""
    lane_rows: Tensor
    """(P, G) the row in each lane of a prompt slot; a lane without one names any row."""
    row_lanes: Tensor
    """(B,) index of each row's lane in the flattened lanes."""
    is_hidden: Tensor
    """(B, 1, 1, prefix + L + C * PAGE) keys that a row does not see."""


def tensor_plan(plan: DecodePlan, store: KeyValueStore, num_rows: int, min_lanes: int) -> TensorPlan:
    """The indices of a plan for ``num_rows`` rows: more than the plan's if its pages need a filler row."""
    device, count = store.page_keys.device, len(plan.row_prompts)
    num_columns = plan.page_table.shape[1]
    is_page = np.arange(num_columns) <= ((plan.own_lengths - 1) // PAGE)[:, None]
    page_rows, page_columns = np.empty(plan.num_pages, dtype=np.int64), np.empty(plan.num_pages, dtype=np.int64)
    rows, columns = np.nonzero(is_page)
    page_rows[plan.page_table[is_page]], page_columns[plan.page_table[is_page]] = rows, columns
    pages, offsets = plan.page_table[np.arange(count), (plan.own_lengths - 1) // PAGE], (plan.own_lengths - 1) % PAGE
    row_fill, page_fill = (0, num_rows - count), (0, round_up(plan.num_pages) - plan.num_pages)
    lane_rows, row_lanes = _lanes(plan.row_prompts, store.prompt_keys.shape[1], min_lanes)
    prefix_lengths, prompt_lengths, own_lengths = (
        np.pad(lengths, row_fill, constant_values=1)[:, None]
        for lengths in (plan.prefix_lengths, plan.prompt_lengths, plan.own_lengths)
    )
    num_prefix, num_prompt = store.prefix[0][0].shape[1], store.prompt_keys.shape[3]
    is_hidden = (
        np.arange(num_prefix) >= prefix_lengths,
        np.arange(num_prompt) >= prompt_lengths,
        np.arange(num_columns * PAGE) >= own_lengths,
    )
    arrays = (
        np.pad(page_rows, page_fill, constant_values=num_rows - 1),
        np.pad(page_columns, page_fill),
        np.pad(pages, row_fill, constant_values=store.page_keys.shape[1] - 1),
        np.pad(offsets, row_fill),
        lane_rows,
        np.pad(row_lanes, row_fill),
        np.concatenate(is_hidden, axis=1)[:, None, None],
    )
    return TensorPlan(*(torch.from_numpy(array).to(device) for array in arrays))


def round_up(count: int) -> int:
    """At most an eighth more than ``count``, and one of few values: a multiple of an eighth of a power of two."""
    step = max(MIN_ROWS, 1 << max(0, count.bit_length() - 4))
    return -(-count // step) * step


def num_rows_for(plan: DecodePlan) -> int:
    """Rows of the batch: rounded up, and one more step where a page that is no one's needs a row that is no one's."""
    count = len(plan.row_prompts)
    needs_filler = round_up(plan.num_pages) > plan.num_pages and round_up(count) == count
    return round_up(count) + (MIN_ROWS if needs_filler else 0)


def _lanes(row_prompts: np.ndarray, num_slots: int, min_lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (P, G) in the lanes of each prompt slot, and each row's lane in them, flattened (B,)."""
    order = np.argsort(row_prompts, kind="stable")
    counts = np.bincount(row_prompts)
    counts = np.pad(counts, (0, min(round_up(len(counts)), num_slots) - len(counts)))
    first = np.cumsum(counts) - counts
    lane = np.empty_like(row_prompts)
    lane[order] = np.arange(len(order)) - first[row_prompts[order]]
    num_lanes = max(min_lanes, 1 << int(counts.max() - 1).bit_length(), 1)
    lane_rows = np.zeros((len(counts), num_lanes), dtype=np.int64)
    lane_rows[row_prompts, lane] = np.arange(len(row_prompts))
    return lane_rows, row_prompts * num_lanes + lane


class PagedContext:
    """The attention context of one decoding step."""

    def __init__(self, store: KeyValueStore, plan: TensorPlan) -> None:
        self._store, self._plan = store, plan

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Output (B, 1, H, D) for query (B, H, 1, D) and key, value (B, K, 1, D); keeps the key and value."""
        store, plan = self._store, self._plan
        num_rows, num_heads, _, size = query.shape
        keys, values = store.page_keys[layer], store.page_values[layer]
        keys[plan.write_pages, :, plan.write_offsets] = key[:, :, 0]
        values[plan.write_pages, :, plan.write_offsets] = value[:, :, 0]
        rows = (query * scaling).view(num_rows, key.shape[1], -1, size)  # (B, K, R, D)
        scores = rows.new_empty(*rows.shape[:3], plan.is_hidden.shape[-1])
        prefix, prompt, own = self._parts(layer, scores)
        prefix.copy_(_prefix_products(rows, store.prefix[layer][0].mT))
        prompt.copy_(_prompt_products(rows, store.prompt_keys[layer].mT, plan))
        pages = torch.bmm(
            rows.index_select(0, plan.page_rows).flatten(0, 1), keys[: len(plan.page_rows)].flatten(0, 1).mT
        )
        own[plan.page_rows, :, :, plan.page_columns] = pages.view(-1, *rows.shape[1:3], PAGE)
        scores.masked_fill_(plan.is_hidden, -math.inf)
        prefix, prompt, own = self._parts(layer, torch.softmax(scores, -1))  # in fp32 inside, whatever the dtype
        out = _prefix_products(prefix, store.prefix[layer][1]).float()
        out = out + _prompt_products(prompt, store.prompt_values[layer], plan)  # (B, K, R, D)
        weights = own[plan.page_rows, :, :, plan.page_columns].flatten(0, 1)  # (n*K, R, PAGE)
        pages = torch.bmm(weights, values[: len(plan.page_rows)].flatten(0, 1)).float()
        out = out.reshape(num_rows, -1).index_add_(0, plan.page_rows, pages.view(len(plan.page_rows), -1))
        return out.to(query.dtype).view(num_rows, 1, num_heads, size)

    def _parts(self, layer: int, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Views of scores or weights (B, K, R, all keys): prefix, prompt, and pages (B, K, R, C, PAGE)."""
        num_prefix, num_prompt = self._store.prefix[layer][0].shape[1], self._store.prompt_keys.shape[3]
        prefix, prompt, own = rows.split((num_prefix, num_prompt, rows.shape[-1] - num_prefix - num_prompt), -1)
        return prefix, prompt, own.unflatten(-1, (-1, PAGE))


def _prefix_products(rows: Tensor, matrix: Tensor) -> Tensor:
    """Rows (B, K, R, X) times one matrix (K, X, Y) for all: (B, K, R, Y)."""
    num_rows, num_kv, num_queries, _ = rows.shape
    products = torch.bmm(rows.transpose(0, 1).flatten(1, 2), matrix)
    return products.view(num_kv, num_rows, num_queries, -1).transpose(0, 1)


def _prompt_products(rows: Tensor, matrices: Tensor, plan: TensorPlan) -> Tensor:
    """Rows (B, K, R, X), each times the matrix of its prompt slot (slots, K, X, Y): (B, K, R, Y)."""
    lanes = rows[plan.lane_rows].transpose(1, 2)  # (P, K, G, R, X)
    num_prompts, num_kv, num_lanes, num_queries, _ = lanes.shape
    products = torch.bmm(lanes.flatten(0, 1).flatten(1, 2), matrices[:num_prompts].flatten(0, 1))
    by_lane = products.view(num_prompts, num_kv, num_lanes, num_queries, -1).transpose(1, 2)  # (P, G, K, R, Y)
    return by_lane.flatten(0, 1)[plan.row_lanes]
