"""The exact reverse KL divergence of a student from a teacher, over the whole vocabulary, in fp32 and in tiles.

At each token KL(p_s || p_t) = sum_v p_s(v) (log p_s(v) - log p_t(v)) with the student's p_s and the teacher's p_t: the
loss of on-policy distillation (GKD, arXiv:2306.13649, with the reverse divergence; MiniLLM, arXiv:2306.08543). As in
``models/logprobs.py`` a tile of logits, here one of each model, is made, used and made again in the backward pass, so
no (tokens x vocabulary) matrix ever exists. The hidden sizes may differ.
"""

from typing import Any

import torch
from torch import Tensor

TILE_TOKENS = 512
TILE_VOCABULARY = 2048
"""Their product is a tile, of which there are two at a time."""


def reverse_kl(hidden: Tensor, head: Tensor, teacher_hidden: Tensor, teacher_head: Tensor) -> Tensor:
    """KL(p_s || p_t) (N,) in fp32, in nats, from hidden (N, E) and head (V, E), teacher_hidden (N, F) and head (V', F).

    Only ``hidden`` and ``head`` get a gradient. Models of one family pad their heads to different sizes; then both
    distributions are taken over the ids that both heads have.
    """
    size = min(len(head), len(teacher_head))
    found: Any = _ReverseKL.apply(hidden, head[:size], teacher_hidden, teacher_head[:size])
    return found


class _ReverseKL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, teacher_hidden: Tensor, teacher_head: Tensor) -> Tensor:
        exact, teacher_exact = head.float(), teacher_head.float()
        parts = [
            _forward_tile(hidden[tile].float(), exact, teacher_hidden[tile].float(), teacher_exact)
            for tile in _tiles(len(hidden), TILE_TOKENS)
        ]
        divergences, gaps, normalizers = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(hidden, head, teacher_hidden, teacher_head, divergences, gaps, normalizers)
        return divergences[:, 0]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """d KL / d logit_v = p_s(v) (log p_s(v) - log p_t(v) - KL)."""
        hidden, head, teacher_hidden, teacher_head, divergences, gaps, normalizers = ctx.saved_tensors
        exact, teacher_exact = head.float(), teacher_head.float()
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(exact)
        for tile in _tiles(len(hidden), TILE_TOKENS):
            states, teacher_states = hidden[tile].float(), teacher_hidden[tile].float()
            grad_states, offset = torch.zeros_like(states), gaps[tile] + divergences[tile]
            for part in _tiles(len(head), TILE_VOCABULARY):
                logits = states @ exact[part].mT
                excess = (logits - teacher_states @ teacher_exact[part].mT).sub_(offset)
                grad_logits = logits.sub_(normalizers[tile]).exp_().mul_(excess).mul_(grads[0][tile, None])
                grad_states.addmm_(grad_logits, exact[part])
                grad_head[part].addmm_(grad_logits.mT, states)
            grad_hidden[tile] = grad_states
        return grad_hidden, grad_head.to(head.dtype), None, None


def _forward_tile(
    states: Tensor, head: Tensor, teacher_states: Tensor, teacher_head: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """KL, log-sum-exp of the student less that of the teacher, log-sum-exp of the student: (T, 1) each.

    From states (T, E) and (T, F), over parts of the heads. Kept so far, per token: of each model the largest logit and
    the sum of exp(logit) relative to it (arXiv:1805.02867), and the student's such sum of exp(logit) * (logit less the
    teacher's logit).
    """
    total, teacher_total, weighted = (states.new_zeros(len(states), 1) for _ in range(3))
    top, teacher_top = (torch.full_like(total, -torch.inf) for _ in range(2))
    for part in _tiles(len(head), TILE_VOCABULARY):
        logits, teacher_logits = states @ head[part].mT, teacher_states @ teacher_head[part].mT
        differences = logits - teacher_logits
        before, top = top, torch.maximum(top, logits.amax(-1, keepdim=True))
        weights, scale = logits.sub_(top).exp_(), (before - top).exp()
        total = total * scale + weights.sum(-1, keepdim=True)
        weighted = weighted * scale + torch.linalg.vecdot(weights, differences)[:, None]
        before, teacher_top = teacher_top, torch.maximum(teacher_top, teacher_logits.amax(-1, keepdim=True))
        teacher_weights = teacher_logits.sub_(teacher_top).exp_()
        teacher_total = teacher_total * (before - teacher_top).exp() + teacher_weights.sum(-1, keepdim=True)
    normalizers = top + total.log()
    gaps = normalizers - (teacher_top + teacher_total.log())
    return weighted / total - gaps, gaps, normalizers


def _tiles(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
