"""Groups of completions packed into one flat row of tokens, as a tree: common prefix, prompts, completions.

Every token stands in the row once, however many completions read it, and there is no padding:

    [ common prefix | prompt 1 | completion 1.1 | completion 1.2 | ... | prompt 2 | completion 2.1 | ... ]

A node is a run of tokens that attends causally to itself and fully to its ancestors. Nodes stand in depth-first order,
so a subtree is one stretch of the row, and token j is visible to token i exactly if j <= i < the end of j's subtree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
MIN_SHARED_PREFIX = 8
"""Tokens that all prompts must have in common before they are computed once for all: fewer cost more than they save."""


@dataclass(frozen=True)
class Node:
    """A run of tokens ``start`` to ``end``, whose descendants follow it up to ``subtree_end``."""

    start: int
    end: int
    subtree_end: int


@dataclass(frozen=True)
class TokenTree:
    """N packed tokens of some groups, and where each completion token is predicted."""

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    """Position of each token in its own sequence."""
    nodes: tuple[Node, ...]
    predictors: tuple[int, ...]
    """For each completion token, completion after completion, the index in the row whose hidden state predicts it."""

    def subtree_ends(self, device: torch.device) -> Tensor:
        """End of the subtree of each token's node, (N,)."""
        ends = torch.tensor([node.subtree_end for node in self.nodes])
        sizes = torch.tensor([node.end - node.start for node in self.nodes])
        return ends.repeat_interleave(sizes).to(device)


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Number of leading tokens that all rows share and that leave each at least one token of its own."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    limit = min(map(len, rows)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


def split_by_tokens(
    items: Iterable[Item], count: Callable[[Item], int], max_tokens: int, shared: int = 0
) -> Iterator[list[Item]]:
    """In order, as many items together as keep the sum of their tokens within ``max_tokens``, one at least.

    ``shared``: tokens that every part has beside its items'.
    """
    part: list[Item] = []
    num_tokens = shared
    for item in items:
        size = count(item)
        if part and num_tokens + size > max_tokens:
            yield part
            part, num_tokens = [], shared
        part.append(item)
        num_tokens += size
    if part:
        yield part


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Number of leading tokens that ``pack`` puts in the row once for all prompts: none of one, or where few are."""
    shared = common_prefix(prompts) if len(prompts) > 1 else 0
    return shared if shared >= MIN_SHARED_PREFIX else 0


def pack(groups: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> TokenTree:
    """The tree of groups, each a prompt (not empty) with its completions (none empty).

    A completion's last token is predicted but read by nothing, so it is not in the row.
    """
    shared = shared_prefix([prompt for prompt, _ in groups])
    tokens, positions = list(groups[0][0][:shared]), list(range(shared))
    nodes: list[Node] = []
    predictors: list[int] = []
    for prompt, completions in groups:
        start = len(tokens)
        tokens += prompt[shared:]
        positions += range(shared, len(prompt))
        end = len(tokens)
        leaves = [_append_leaf(tokens, positions, len(prompt), completion) for completion in completions]
        nodes += [Node(start, end, len(tokens)), *(leaf for leaf in leaves if leaf.end > leaf.start)]
        for leaf in leaves:
            predictors += [end - 1, *range(leaf.start, leaf.end)]
    root = [Node(0, shared, len(tokens))] if shared else []
    return TokenTree(tuple(tokens), tuple(positions), tuple(root + nodes), tuple(predictors))


def _append_leaf(tokens: list[int], positions: list[int], prompt_length: int, completion: Sequence[int]) -> Node:
    start = len(tokens)
    tokens += completion[:-1]
    positions += range(prompt_length, prompt_length + len(completion) - 1)
    return Node(start, len(tokens), len(tokens))


def pack_rows(rows: Sequence[Sequence[int]], first_position: int) -> TokenTree:
    """Rows side by side, none reading another, each beginning at ``first_position``: prompts after a cached prefix."""
    nodes, start = [], 0
    for row in rows:
        nodes.append(Node(start, start + len(row), start + len(row)))
        start += len(row)
    tokens = tuple(token for row in rows for token in row)
    positions = tuple(first_position + i for row in rows for i in range(len(row)))
    return TokenTree(tokens, positions, tuple(nodes), ())
