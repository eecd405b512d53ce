"""The tiled reverse KL and its gradients are those of a plain computation, and the whole matrix never exists."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from thinkwright.models import reverse_kl as tiled
from thinkwright.models.reverse_kl import reverse_kl


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> int:
    """Tiles that divide neither tokens nor vocabulary of the tests; gives the entries of one."""
    monkeypatch.setattr(tiled, "TILE_TOKENS", 7)
    monkeypatch.setattr(tiled, "TILE_VOCABULARY", 16)
    return 7 * 16


def made(num_tokens: int, vocabulary: int, teacher_vocabulary: int | None = None) -> tuple[torch.Tensor, ...]:
    """States and heads of a student 12 wide and a teacher 20 wide; logits of the size that trained models have."""
    torch.manual_seed(0)
    rows = teacher_vocabulary or vocabulary
    sizes = ((num_tokens, 12), (vocabulary, 12), (num_tokens, 20), (rows, 20))
    return tuple(torch.randn(*size).requires_grad_() for size in sizes)


def plain(hidden: torch.Tensor, head: torch.Tensor, states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The definition, with both whole matrices."""
    ours, theirs = torch.log_softmax(hidden @ head.mT, -1), torch.log_softmax(states @ rows.mT, -1)
    return (ours.exp() * (ours - theirs)).sum(-1)


@pytest.mark.parametrize(("num_tokens", "vocabulary"), [(1, 5), (7, 16), (40, 100), (22, 65)])
def test_value_and_gradients_equal_a_plain_computation(num_tokens: int, vocabulary: int, small_tiles: int) -> None:
    inputs = made(num_tokens, vocabulary)
    weights = torch.rand(num_tokens)
    ours, theirs = reverse_kl(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    grads = torch.autograd.grad((ours * weights).sum(), inputs[:2])
    torch.testing.assert_close(grads, torch.autograd.grad((theirs * weights).sum(), inputs[:2]), atol=1e-5, rtol=1e-5)


def test_default_tiles_give_what_small_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = made(600, 2100)
    theirs = plain(*inputs)
    ours = reverse_kl(*inputs)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    grads = torch.autograd.grad(ours.mean(), inputs[:2])
    torch.testing.assert_close(grads, torch.autograd.grad(theirs.mean(), inputs[:2]), atol=1e-5, rtol=1e-5)


def test_the_teacher_gets_no_gradient() -> None:
    inputs = made(5, 30)
    reverse_kl(*inputs).sum().backward()
    assert [tensor.grad is not None for tensor in inputs] == [True, True, False, False]


def test_a_policy_is_no_distance_from_itself_and_has_no_gradient(small_tiles: int) -> None:
    hidden, head, _, _ = made(20, 50)
    divergences = reverse_kl(hidden, head, hidden.detach(), head.detach())
    assert not divergences.any()
    grads = torch.autograd.grad(divergences.sum(), (hidden, head))
    assert not any(grad.any() for grad in grads)


@pytest.mark.parametrize("shift", [200.0, -200.0])
def test_large_logits_and_a_shift_of_all_of_them_change_nothing(shift: float, small_tiles: int) -> None:
    hidden, head, states, rows = (tensor.detach() for tensor in made(20, 50))
    before = reverse_kl(hidden, head, states, rows)
    ones = torch.ones(20, 1)
    shifted = torch.cat([rows, torch.full((50, 1), shift)], 1)
    after = reverse_kl(hidden, head, torch.cat([states, ones], 1), shifted)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)


def test_heads_padded_to_different_sizes_are_compared_over_what_both_have(small_tiles: int) -> None:
    hidden, head, states, rows = made(9, 40, 33)
    ours = reverse_kl(hidden, head, states, rows)
    torch.testing.assert_close(ours, plain(hidden, head[:33], states, rows), atol=1e-5, rtol=1e-5)
    (grad,) = torch.autograd.grad(ours.sum(), head)
    assert grad.shape == head.shape
    assert grad[:33].any()
    assert not grad[33:].any()


def test_bf16_weights_are_multiplied_in_fp32() -> None:
    inputs = [tensor.detach().bfloat16() for tensor in made(9, 40)]
    ours = reverse_kl(*inputs)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, plain(*(tensor.float() for tensor in inputs)), atol=1e-5, rtol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Entries of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.numel())
        return out


def test_no_tensor_is_larger_than_a_tile_or_an_input(small_tiles: int) -> None:
    inputs = made(300, 400)
    largest_input = max(tensor.numel() for tensor in inputs)
    with LargestTensor() as tiles:
        reverse_kl(*inputs).sum().backward()
    assert max(small_tiles, 12) <= tiles.entries <= largest_input < 300 * 400 / 10
    with LargestTensor() as whole:
        plain(*inputs).sum().backward()
    assert whole.entries == 300 * 400
