"""Reverse KL to a teacher of whom only the sampled tokens' log-probabilities are known."""

from torch import Tensor


def sampled_reverse_kl_loss(
    policy_logprobs: Tensor, rollout_logprobs: Tensor, old_logprobs: Tensor, teacher_logprobs: Tensor
) -> tuple[Tensor, Tensor]:
    """Per-token loss -r_t A_t with A_t = log p_teacher(y_t) - log p_old(y_t), and the ratio r_t = p(y_t) / q(y_t).

    The policy gradient of KL(p || p_teacher) at each token of a completion drawn from q, the old policy at the sampling
    temperature: the gradient of that KL is E_p[(log p - log p_teacher) grad log p], and r_t carries it over to tokens
    drawn from q (Thinking Machines, "On-Policy Distillation", 2025; the single-step part of MiniLLM,
    arXiv:2306.08543, equation 2). A token answers for itself alone, not for what comes after it (discount 0), and A_t
    has no gradient. Before the first update the loss's mean is an unbiased estimate of the KL, which may be negative.

    ``rollout_logprobs`` are of the distribution drawn from, ``old_logprobs`` of the same policy at temperature 1. All
    arguments and both results have shape (N,), one entry per completion token.
    """
    ratio = (policy_logprobs - rollout_logprobs).exp()
    advantages = (teacher_logprobs - old_logprobs).detach()
    return -ratio * advantages, ratio.detach()
