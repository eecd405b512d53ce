"""Attention of a packed tree equals attention of each sequence by itself, forward and backward."""

import random

import pytest
import torch

from thinkwright.models import attention_blocks
from thinkwright.models.flex_attention import FlexContext
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.token_tree import TokenTree, common_prefix, pack, pack_rows

CPU = torch.device("cpu")
SHAPE = {"num_heads": 4, "num_kv": 2, "size": 8}


def random_tree(seed: int, shared: int = 12, longest: int = 40) -> TokenTree:
    """Three groups of unlike sizes, prompts alike in their first tokens; some completions of a single token."""
    rng = random.Random(seed)
    preamble = [7] * shared
    groups = []
    for i in range(3):
        prompt = [*preamble, i + 1, *(rng.randrange(1, 9) for _ in range(rng.randrange(0, 20)))]
        sizes = [1, 2, *(rng.randrange(1, longest) for _ in range(3))]
        groups.append((prompt, [[rng.randrange(1, 9) for _ in range(size)] for size in sizes]))
    return pack(groups)


def states(num_tokens: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    heads = SHAPE["num_heads"], SHAPE["num_kv"], SHAPE["num_kv"]
    return [
        torch.randn(1, count, num_tokens, SHAPE["size"], dtype=torch.float64, generator=generator)
        .to(dtype)
        .requires_grad_()
        for count in heads
    ]


def dense_attention(tree: TokenTree, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The tree's rule written out as one mask over all pairs of tokens."""
    index = torch.arange(len(tree.tokens))
    is_visible = (index[None] <= index[:, None]) & (index[:, None] < tree.subtree_ends(CPU)[None])
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=is_visible, scale=0.3, enable_gqa=True
    )
    return out.transpose(1, 2)


def test_the_rule_of_the_tree_is_own_sequence_and_past() -> None:
    tree = pack([([1, 2], [[3, 4, 5], [6, 7]]), ([8], [[9, 9]])])
    assert tree.tokens == (1, 2, 3, 4, 6, 8, 9)
    assert tree.positions == (0, 1, 2, 3, 2, 0, 1)
    assert tree.predictors == (1, 2, 3, 1, 4, 5, 6)
    index = torch.arange(7)
    visible = (index[None] <= index[:, None]) & (index[:, None] < tree.subtree_ends(CPU)[None])
    seen = [[i for i in range(7) if visible[j, i]] for j in range(7)]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6]]


def test_a_prefix_common_to_all_prompts_stands_in_the_row_once() -> None:
    prompts = [[5] * 10 + [1], [5] * 10 + [2, 3], [5] * 10]
    assert common_prefix(prompts) == 9
    tree = pack([(prompt, [[4, 4]]) for prompt in prompts])
    assert len(tree.tokens) == 9 + (2 + 1) + (3 + 1) + (1 + 1)
    assert (tree.nodes[0].start, tree.nodes[0].end, tree.nodes[0].subtree_end) == (0, 9, len(tree.tokens))


@pytest.mark.parametrize("seed", range(4))
def test_output_and_gradients_equal_dense_attention_under_the_mask(seed: int) -> None:
    tree = random_tree(seed)
    ours, theirs = states(len(tree.tokens)), states(len(tree.tokens))
    out = PackedContext(tree, CPU).attend(0, *ours, 0.3)
    expected = dense_attention(tree, *theirs)
    torch.testing.assert_close(out, expected, atol=1e-9, rtol=1e-7)
    weights = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, plain in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, plain.grad, atol=1e-9, rtol=1e-7)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_same_output() -> None:
    # Its backward pass exists on a GPU alone.
    tree = random_tree(2)
    query, key, value = (state.detach() for state in states(len(tree.tokens)))
    out = FlexContext(tree, CPU).attend(0, query, key, value, 0.3)
    torch.testing.assert_close(out, dense_attention(tree, query, key, value), atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("limits", [(16, 1 << 20), (256, 300), (16, 40)])
def test_how_blocks_are_cut_changes_nothing(limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_blocks, "QUERY_TILE", limits[0])
    monkeypatch.setattr(attention_blocks, "MAX_SCORES", limits[1])
    tree = random_tree(0, longest=90)
    ours, theirs = states(len(tree.tokens)), states(len(tree.tokens))
    out, expected = PackedContext(tree, CPU).attend(0, *ours, 0.3), dense_attention(tree, *theirs)
    torch.testing.assert_close(out, expected, atol=1e-9, rtol=1e-7)
    out.square().sum().backward()
    expected.square().sum().backward()
    for mine, plain in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, plain.grad, atol=1e-9, rtol=1e-7)


def test_rows_after_a_cached_prefix_see_it_and_not_each_other() -> None:
    prefix, rows = [1, 2, 3], [[4, 5], [6], [7, 8, 9]]
    whole = pack_rows([[*prefix, *row] for row in rows], first_position=0)
    tree = pack_rows(rows, first_position=3)
    query, key, value = (state.detach() for state in states(len(tree.tokens)))
    prefix_states = [state.detach()[:, :, :3] for state in states(9)]

    def with_prefixes(state: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        return torch.cat([part for row in state.split([2, 1, 3], dim=2) for part in (before, row)], dim=2)

    joined = [with_prefixes(state, before) for state, before in zip((query, key, value), prefix_states, strict=True)]
    expected = dense_attention(whole, *joined)
    with torch.no_grad():
        context = PackedContext(tree, CPU, [(prefix_states[1][0], prefix_states[2][0])])
        out = context.attend(0, query, key, value, 0.3)
    own = [3, 4, 8, 12, 13, 14]
    torch.testing.assert_close(out, expected[:, own], atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(context.kept[0], (key[0], value[0]))


def test_bf16_stays_near_fp64() -> None:
    tree = random_tree(1)
    exact, rounded = states(len(tree.tokens)), states(len(tree.tokens), torch.bfloat16)
    expected, out = dense_attention(tree, *exact), PackedContext(tree, CPU).attend(0, *rounded, 0.3)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(out.double(), expected, atol=0.05, rtol=0.05)
    for mine, plain in zip(rounded, exact, strict=True):
        assert (mine.grad.double() - plain.grad).norm() < 0.03 * plain.grad.norm()
