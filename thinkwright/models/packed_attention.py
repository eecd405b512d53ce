"""Attention of a packed tree of tokens (``token_tree.py``), forward and backward, by blocks (``attention_blocks.py``).

What a token sees in different blocks is merged by log-sum-exp, and the backward pass makes each block's scores again
from it (FlashAttention-2, arXiv:2307.08691, section 3.1, with batched matrix products in place of a kernel): scores are
never kept, and the memory of attention is linear in the tokens. Shapes as in ``attention_blocks.py``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from thinkwright.models.attention_blocks import RowBlock, blocks_of, by_rows
from thinkwright.models.token_tree import TokenTree

KeyValue = tuple[Tensor, Tensor]
"""Keys and values of one layer."""


class PackedContext:
    """The attention context of one packed forward pass, and of its backward pass."""

    def __init__(self, tree: TokenTree, device: torch.device, prefix: Sequence[KeyValue] | None = None) -> None:
        """``prefix``: keys and values (K, L, D) per layer of tokens before the row, seen by all; without gradient."""
        self._device, self._prefix = device, prefix
        self._blocks = blocks_of(tree)
        self._row_blocks: list[RowBlock] | None = None
        self.kept: list[KeyValue] = []
        """Keys and values (K, N, D) per layer, of a pass without gradient."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention output (1, N, H, D) for query (1, H, N, D) and key, value (1, K, N, D)."""
        if self._row_blocks is None:
            heads = query.shape[1], key.shape[1]
            self._row_blocks = [by_rows(block, *heads, self._device) for block in self._blocks]
        if torch.is_grad_enabled() and query.requires_grad:
            return _PackedAttention.apply(query, key, value, self._row_blocks, scaling)  # type: ignore[return-value]
        assert layer == len(self.kept), "layers run in order"
        self.kept.append((key[0], value[0]))
        out, normalizer = _attend(_flat(query * scaling), _flat(key), _flat(value), self._row_blocks)
        result = _unflat(out, query.shape[1]).to(query.dtype)
        if self._prefix is not None:
            result = _with_prefix(query * scaling, *self._prefix[layer], result, normalizer)
        return result


class _PackedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[RowBlock], scaling: float) -> Tensor:
        flat = _flat(query * scaling), _flat(key), _flat(value)
        out, normalizer = _attend(*flat, blocks)
        result = _unflat(out, query.shape[1]).to(query.dtype)
        ctx.save_for_backward(*flat, result, normalizer)
        ctx.blocks, ctx.scaling = blocks, scaling
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_out, (query, key, value, out, normalizer) = grads[0], ctx.saved_tensors
        num_heads, num_kv = out.shape[2], key.shape[0] * out.shape[2] // query.shape[0]
        delta = (grad_out * out).sum(-1, dtype=normalizer.dtype).flatten()  # (N*H,), row sums of P * dP
        delta = torch.cat((delta, delta.new_zeros(num_heads)))
        flat = _backward(query, key, value, _flat(grad_out.transpose(1, 2)), delta, normalizer, ctx.blocks)
        heads = num_heads, num_kv, num_kv
        grad_query, grad_key, grad_value = (
            _unflat(grad, count).transpose(1, 2) for grad, count in zip(flat, heads, strict=True)
        )
        dtype = out.dtype
        return (grad_query * ctx.scaling).to(dtype), grad_key.to(dtype), grad_value.to(dtype), None, None


def _attend(query: Tensor, key: Tensor, value: Tensor, blocks: Sequence[RowBlock]) -> tuple[Tensor, Tensor]:
    """Output rows ((N+1)*H, D) and their log-sum-exps ((N+1)*H,), in fp32 (fp64 for fp64)."""
    exact = torch.promote_types(query.dtype, torch.float32)
    out = torch.zeros_like(query, dtype=exact)
    normalizer = query.new_zeros(query.shape[0], dtype=exact)
    for block in blocks:
        scores = block.scores(block.gather_queries(query), block.gather_keys(key))
        part, part_normalizer = _softmax_times(scores, block.gather_keys(value), exact)
        part, part_normalizer, rows = part.flatten(0, 1), part_normalizer.flatten(), block.query_rows
        if block.future is None:
            before = out.index_select(0, rows), normalizer.index_select(0, rows)
            part, part_normalizer = _merged(*before, part, part_normalizer)
        out.index_copy_(0, rows, part)
        normalizer.index_copy_(0, rows, part_normalizer)
    return out, normalizer


def _backward(
    query: Tensor, key: Tensor, value: Tensor, grad_out: Tensor, delta: Tensor, normalizer: Tensor,
    blocks: Sequence[RowBlock],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of the flat query, key and value rows, in the normalizer's precision.

    Log-sum-exps and row sums are subtracted inside the matrix products, by two more columns: no pass over the scores
    in fp32, and the differences are rounded instead of the larger scores.
    """
    exact, size = normalizer.dtype, query.shape[-1]
    grad_query, grad_key, grad_value = (torch.zeros_like(rows, dtype=exact) for rows in (query, key, value))
    grads = grad_query, grad_key, grad_value
    query, grad_out = _with_subtrahend(query, normalizer), _with_subtrahend(grad_out, delta)
    key, value = _with_ones(key), _with_ones(value)
    for block in blocks:
        queries, keys = block.gather_queries(query), block.gather_keys(key)
        out_grads = block.gather_queries(grad_out)
        weights = block.scores(queries, keys).exp_()  # (B*K, R*Q, T)
        score_grads = torch.bmm(out_grads, block.gather_keys(value).mT).mul_(weights)
        parts = (
            torch.bmm(score_grads, keys[..., :size]),
            torch.bmm(score_grads.mT, queries[..., :size]),
            torch.bmm(weights.mT, out_grads[..., :size]),
        )
        for grad, rows, part in zip(grads, (block.query_rows, block.key_rows, block.key_rows), parts, strict=True):
            grad.index_add_(0, rows, part.flatten(0, 1).to(exact))
    return grads


def _with_subtrahend(rows: Tensor, subtrahend: Tensor) -> Tensor:
    """Rows (M, D+2) whose products with rows of ``_with_ones`` are less by ``subtrahend`` (M,)."""
    coarse = subtrahend.to(rows.dtype)
    rest = (subtrahend - coarse).to(rows.dtype)
    return torch.cat((rows, -coarse[:, None], -rest[:, None]), -1)


def _with_ones(rows: Tensor) -> Tensor:
    return torch.cat((rows, rows.new_ones(len(rows), 2)), -1)


def _with_prefix(query: Tensor, key: Tensor, value: Tensor, out: Tensor, normalizer: Tensor) -> Tensor:
    """``out`` (1, N, H, D) merged with what scaled query (1, H, N, D) sees of prefix keys and values (K, L, D)."""
    num_kv, num_tokens, size = key.shape[0], query.shape[2], query.shape[3]
    folded = query[0].unflatten(0, (num_kv, -1)).flatten(1, 2)  # (K, R*N, D)
    part, part_normalizer = _softmax_times(torch.bmm(folded, key.mT), value, normalizer.dtype)
    part = part.view(-1, num_tokens, size).transpose(0, 1)  # (N, H, D)
    part_normalizer = part_normalizer.view(-1, num_tokens).T  # (N, H)
    own = normalizer.view(num_tokens + 1, -1)[:-1]
    merged, _ = _merged(out[0].to(normalizer.dtype), own, part, part_normalizer)
    return merged[None].to(query.dtype)


def _merged(out: Tensor, normalizer: Tensor, part: Tensor, part_normalizer: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax over the union of two sets of keys, from the outputs (..., D) and log-sum-exps (...) over each."""
    total = torch.logaddexp(normalizer, part_normalizer)
    share = (part_normalizer - total).exp()[..., None]
    return torch.lerp(out, part.to(out.dtype), share), total


def _softmax_times(scores: Tensor, values: Tensor, exact: torch.dtype) -> tuple[Tensor, Tensor]:
    """Softmax of scores (B, Q, T), which are overwritten, times values (B, T, D), and its log-sum-exps (B, Q)."""
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True, dtype=exact)  # of the rounded weights, as the product sums them
    return torch.bmm(weights, values).to(exact).div_(total), total.log_().add_(top)[..., 0]


def _flat(states: Tensor) -> Tensor:
    """(1, H, N, D) as rows ((N+1)*H, D), token by token, zeros for the filler token."""
    _, num_heads, num_tokens, size = states.shape
    rows = states.new_zeros(num_tokens + 1, num_heads, size)
    rows[:-1] = states[0].transpose(0, 1)
    return rows.flatten(0, 1)


def _unflat(rows: Tensor, num_heads: int) -> Tensor:
    """Rows ((N+1)*H, D) as (1, N, H, D), without the filler token."""
    return rows.view(1, -1, num_heads, rows.shape[-1])[:, :-1]
