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
        weights = torch.softmax(scores, -1, dtype=exact)
        part = torch.bmm(weights.to(value.dtype), block.gather_keys(value)).flatten(0, 1).to(exact)
        part_normalizer = _logsumexp(scores, weights).flatten()
        rows = block.query_rows
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
    """Gradients of the flat query, key and value rows, in the normalizer's precision."""
    dtype, exact = query.dtype, normalizer.dtype
    grad_query, grad_key, grad_value = (torch.zeros_like(rows, dtype=exact) for rows in (query, key, value))
    for block in blocks:
        queries, keys = block.gather_queries(query), block.gather_keys(key)
        out_grads = block.gather_queries(grad_out)
        rows = block.query_rows
        row_shape = (*queries.shape[:2], 1)
        weights = (
            block.scores(queries, keys).to(exact).sub_(normalizer.index_select(0, rows).view(row_shape)).exp_()
        )  # (B*K, R*Q, T)
        value_part = torch.bmm(weights.to(dtype).mT, out_grads)
        weight_grads = torch.bmm(out_grads, block.gather_keys(value).mT)
        score_grads = weights.mul_(weight_grads - delta.index_select(0, rows).view(row_shape)).to(dtype)
        grad_value.index_add_(0, block.key_rows, value_part.flatten(0, 1).to(exact))
        grad_key.index_add_(0, block.key_rows, torch.bmm(score_grads.mT, queries).flatten(0, 1).to(exact))
        grad_query.index_add_(0, rows, torch.bmm(score_grads, keys).flatten(0, 1).to(exact))
    return grad_query, grad_key, grad_value


def _with_prefix(query: Tensor, key: Tensor, value: Tensor, out: Tensor, normalizer: Tensor) -> Tensor:
    """``out`` (1, N, H, D) merged with what scaled query (1, H, N, D) sees of prefix keys and values (K, L, D)."""
    num_kv, num_tokens, size = key.shape[0], query.shape[2], query.shape[3]
    folded = query[0].unflatten(0, (num_kv, -1)).flatten(1, 2)  # (K, R*N, D)
    scores = torch.bmm(folded, key.mT)
    weights = torch.softmax(scores, -1, dtype=normalizer.dtype)
    part = torch.bmm(weights.to(value.dtype), value).view(-1, num_tokens, size).transpose(0, 1)  # (N, H, D)
    part_normalizer = _logsumexp(scores, weights).view(-1, num_tokens).T  # (N, H)
    own = normalizer.view(num_tokens + 1, -1)[:-1]
    merged, _ = _merged(out[0].to(normalizer.dtype), own, part, part_normalizer)
    return merged[None].to(query.dtype)


def _merged(out: Tensor, normalizer: Tensor, part: Tensor, part_normalizer: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax over the union of two sets of keys, from the outputs (..., D) and log-sum-exps (...) over each."""
    total = torch.logaddexp(normalizer, part_normalizer)
    share = (part_normalizer - total).exp()[..., None]
    return torch.lerp(out, part.to(out.dtype), share), total


def _logsumexp(scores: Tensor, weights: Tensor) -> Tensor:
    """Log-sum-exp of each row of scores, read off its largest entry before and after the softmax; a row has one."""
    return scores.amax(-1).to(weights.dtype) - weights.amax(-1).log()


def _flat(states: Tensor) -> Tensor:
    """(1, H, N, D) as rows ((N+1)*H, D), token by token, zeros for the filler token."""
    _, num_heads, num_tokens, size = states.shape
    rows = states.new_zeros(num_tokens + 1, num_heads, size)
    rows[:-1] = states[0].transpose(0, 1)
    return rows.flatten(0, 1)


def _unflat(rows: Tensor, num_heads: int) -> Tensor:
    """Rows ((N+1)*H, D) as (1, N, H, D), without the filler token."""
    return rows.view(1, -1, num_heads, rows.shape[-1])[:, :-1]
