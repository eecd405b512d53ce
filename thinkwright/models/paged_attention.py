"""Attention of sampling: one new token for each running completion, in three parts under one softmax.

A token sees the common prefix (keys and values once for all), its prompt (once for the group) and its completion's own
earlier tokens. The own ones lie in pages of ``PAGE`` tokens; live pages are always the first of the pool, so that one
batched matrix product takes them all, and a completion is padded by less than one page, whatever the others' lengths.

Shapes: B rows (running completions, some of them fillers), H query heads, K key-value heads, R = H / K, D head size,
P prompts with G lanes (rows of that prompt), L tokens of the longest prompt, C pages of the longest row, n live pages.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thinkwright.models.packed_attention import KeyValue

PAGE = 32
"""Tokens a page holds: smaller ones waste less at the end of each completion, larger ones make fewer products."""


@dataclass
class KeyValueStore:
    """Keys and values of all layers. What is not written yet is zero: it gets weight zero, and must not be NaN."""

    page_keys: Tensor
    """(layers, pages, K, PAGE, D); the last page is where fillers write."""
    page_values: Tensor
    prompt_keys: Tensor
    """(layers, prompt slots, K, L, D)"""
    prompt_values: Tensor
    prefix: list[KeyValue]
    """Per layer (K, tokens, D); tokens may be 0."""

    def move_pages(self, sources: Tensor, targets: Tensor) -> None:
        """Copy pages over others, in all layers."""
        self.page_keys[:, targets] = self.page_keys[:, sources]
        self.page_values[:, targets] = self.page_values[:, sources]

    def write_prompts(self, kept: list[KeyValue], slots: Tensor, columns: Tensor) -> None:
        """Store the keys and values (K, N, D) per layer of N prompt tokens, each at its slot and column (N,)."""
        for layer, (keys, values) in enumerate(kept):
            self.prompt_keys[layer, slots, :, columns] = keys.transpose(0, 1)
            self.prompt_values[layer, slots, :, columns] = values.transpose(0, 1)


@dataclass(frozen=True)
class DecodePlan:
    """Where the tokens of one decoding step stand. Row indices count the rows of the batch."""

    page_rows: Tensor
    """(n,) the row each live page belongs to."""
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


class PagedContext:
    """The attention context of one decoding step."""

    def __init__(self, store: KeyValueStore, plan: DecodePlan) -> None:
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


def _prompt_products(rows: Tensor, matrices: Tensor, plan: DecodePlan) -> Tensor:
    """Rows (B, K, R, X), each times the matrix of its prompt slot (slots, K, X, Y): (B, K, R, Y)."""
    lanes = rows[plan.lane_rows].transpose(1, 2)  # (P, K, G, R, X)
    num_prompts, num_kv, num_lanes, num_queries, _ = lanes.shape
    products = torch.bmm(lanes.flatten(0, 1).flatten(1, 2), matrices[:num_prompts].flatten(0, 1))
    by_lane = products.view(num_prompts, num_kv, num_lanes, num_queries, -1).transpose(1, 2)  # (P, G, K, R, Y)
    return by_lane.flatten(0, 1)[plan.row_lanes]
