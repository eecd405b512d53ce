"""What sees what in a packed tree of tokens, as few dense blocks of queries and keys.

Two kinds of blocks cover the tree. In an *own* block, nodes of like length attend causally to themselves, side by side.
In an *inherited* block, the children of a node attend to it and all its ancestors, without a mask. So every token is a
query twice at most, however deep the tree.

Shapes: N tokens, H query heads, K key-value heads, R = H / K, D head size; a block has B nodes with Q query and T key
tokens each. Flat rows are (token, head) pairs. A node shorter than its block points at token N, a filler of zeros.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thinkwright.models.token_tree import Node, TokenTree

LENGTH_STEP = 16
"""Nodes whose lengths round up to the same multiple share a block."""
QUERY_TILE = 256
"""Own blocks longer than this are cut along the queries, so that most of the masked half is not computed."""
MAX_SCORES = 1 << 18
"""Scores per head in one block: what stays in a core's cache is fastest, and it bounds memory."""


@dataclass(frozen=True)
class Block:
    """Token indices of queries (B, Q) and keys (B, T); in an own block, which keys are a query's future (Q, T)."""

    queries: Tensor
    keys: Tensor
    future: Tensor | None


@dataclass(frozen=True)
class RowBlock:
    """A block by flat rows: of queries (B * K * R * Q,), of keys (B * K * T,)."""

    query_rows: Tensor
    key_rows: Tensor
    future: Tensor | None
    num_batches: int
    """B * K: how many matrix products the block is."""

    def gather_queries(self, rows: Tensor) -> Tensor:
        """Of flat query rows, those of the block, (B*K, R*Q, D)."""
        return rows.index_select(0, self.query_rows).view(self.num_batches, -1, rows.shape[-1])

    def gather_keys(self, rows: Tensor) -> Tensor:
        """Of flat key or value rows, those of the block, (B*K, T, D)."""
        return rows.index_select(0, self.key_rows).view(self.num_batches, -1, rows.shape[-1])

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Scores (B*K, R*Q, T) of gathered queries and keys, minus infinity for the future."""
        scores = torch.bmm(queries, keys.mT)
        if self.future is not None:
            scores.view(self.num_batches, -1, *self.future.shape).masked_fill_(self.future, -math.inf)
        return scores


def blocks_of(tree: TokenTree) -> list[Block]:
    """All blocks of a tree; own blocks come first and hold every token once as a query."""
    by_length: dict[int, list[Node]] = {}
    for node in tree.nodes:
        by_length.setdefault(-(-(node.end - node.start) // LENGTH_STEP) * LENGTH_STEP, []).append(node)
    own = [block for length, nodes in by_length.items() for block in _own_blocks(nodes, length, len(tree.tokens))]
    return own + [block for path, children in _families(tree) for block in _inherited_blocks(path, children)]


def _own_blocks(nodes: Sequence[Node], length: int, filler: int) -> Iterator[Block]:
    batch = max(1, MAX_SCORES // (length * min(length, QUERY_TILE)))
    for first in range(0, len(nodes), batch):
        starts, ends = torch.tensor([(node.start, node.end) for node in nodes[first : first + batch]]).unbind(1)
        tokens = starts[:, None] + torch.arange(length)  # (B, length)
        tokens = tokens.masked_fill(tokens >= ends[:, None], filler)
        for start in range(0, length, QUERY_TILE):
            end = min(start + QUERY_TILE, length)
            future = torch.ones(end - start, end, dtype=torch.bool).triu(start + 1)
            yield Block(tokens[:, start:end], tokens[:, :end], future)


def _families(tree: TokenTree) -> Iterator[tuple[list[Node], list[Node]]]:
    """Each node that has children, at the end of the path from the root to it; and the children."""
    path: list[Node] = []
    families: dict[Node, tuple[list[Node], list[Node]]] = {}
    for node in tree.nodes:
        while path and path[-1].subtree_end <= node.start:
            path.pop()
        if path:
            families.setdefault(path[-1], ([*path], []))[1].append(node)
        path.append(node)
    yield from families.values()


def _inherited_blocks(path: Sequence[Node], children: Sequence[Node]) -> Iterator[Block]:
    keys = _tokens(path)[None]
    for queries in _tokens(children).split(max(1, MAX_SCORES // keys.shape[1])):
        yield Block(queries[None], keys, None)


def _tokens(nodes: Sequence[Node]) -> Tensor:
    return torch.cat([torch.arange(node.start, node.end) for node in nodes])


def by_rows(block: Block, num_heads: int, num_kv: int, device: torch.device) -> RowBlock:
    """The block for a number of query heads and of key-value heads."""
    heads = torch.arange(num_heads).view(1, num_kv, -1, 1)
    queries = block.queries[:, None, None] * num_heads + heads  # (B, K, R, Q)
    keys = block.keys[:, None] * num_kv + torch.arange(num_kv)[:, None]  # (B, K, T)
    future = block.future.to(device) if block.future is not None else None
    return RowBlock(queries.flatten().to(device), keys.flatten().to(device), future, len(block.keys) * num_kv)
