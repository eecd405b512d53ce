"""Log-probabilities and entropies in tiles equal those of the whole matrix, gradients included."""

import pytest
import torch

from thinkwright.models import logprobs
from thinkwright.models.logprobs import token_logprobs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_both_have_the_gradients_of_the_whole_matrix(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "TILE_TOKENS", 3)
    monkeypatch.setattr(logprobs, "TILE_VOCABULARY", 5)
    torch.manual_seed(0)
    tokens = torch.tensor([0, 4, 5, 12, 7, 1, 3])
    weights = torch.randn(2, 7)
    results = []
    for is_whole in (True, False):
        torch.manual_seed(1)
        hidden, head = torch.randn(7, 8, requires_grad=True), torch.randn(13, 8, requires_grad=True)
        if is_whole:
            table = torch.log_softmax(hidden @ head.mT / temperature, -1)
            found = table.gather(-1, tokens[:, None])[:, 0], -(table.exp() * table).sum(-1)
        else:
            found = token_logprobs(hidden, head, tokens, temperature)
        for chosen in (weights, weights * torch.tensor([[1.0], [0.0]]), weights * torch.tensor([[0.0], [1.0]])):
            loss = (found[0] * chosen[0]).sum() + (found[1] * chosen[1]).sum()
            results.append((loss.detach(), *torch.autograd.grad(loss, (hidden, head), retain_graph=True)))
    for theirs, ours in zip(results[:3], results[3:], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_loss_of_entropies_alone_has_a_gradient() -> None:
    torch.manual_seed(0)
    hidden, head = torch.randn(3, 8, requires_grad=True), torch.randn(13, 8)
    _, entropies = token_logprobs(hidden, head, torch.tensor([1, 2, 3]))
    entropies.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.any()
