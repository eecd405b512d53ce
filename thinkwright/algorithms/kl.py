"""Estimators of the KL divergence between policy and reference policy, per token."""

from torch import Tensor


def k3(policy_logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """x - log x - 1 with x = pi_ref / pi: unbiased for tokens drawn from pi, never negative (Schulman, 2020).

    A term of the loss, not of the reward (DeepSeek-R1, equation 2). Shapes: (N,) each, and the result.
    """
    log_x = ref_logprobs - policy_logprobs
    return log_x.exp() - log_x - 1
