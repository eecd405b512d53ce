"""Estimators of the KL divergence between policy and reference policy, from tokens drawn from the policy (Schulman,
"Approximating KL Divergence", 2020).

Each takes the log-probabilities of policy and reference (N,) and gives an estimate for each token (N,).
"""

from collections.abc import Callable

from torch import Tensor

from thinkwright.algorithms.tokens import sums_to_go


def k1(policy_logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """log(pi / pi_ref): unbiased, of high variance. Its gradient has the mean 0 whatever the reference, so it belongs
    into the reward, not the loss."""
    return policy_logprobs - ref_logprobs


def k2(policy_logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """log(pi / pi_ref)^2 / 2: biased, but its gradient is on average that of the KL."""
    return (policy_logprobs - ref_logprobs).square() / 2


def k3(policy_logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """x - log x - 1 with x = pi_ref / pi: unbiased and never negative (DeepSeek-R1, equation 2)."""
    log_x = ref_logprobs - policy_logprobs
    return log_x.exp() - log_x - 1


KLEstimator = Callable[[Tensor, Tensor], Tensor]
KL_ESTIMATORS: dict[str, KLEstimator] = {"k1": k1, "k2": k2, "k3": k3}
"""By the name in the recipe. ``k3_unbiased`` there is ``k3`` times the ratio to the policy that drew: unbiased for its
tokens, gradient included (DeepSeek-V3.2, arXiv:2512.02556)."""


def kl_penalized(
    advantages: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor, sequences: Tensor, kl_coef: float
) -> Tensor:
    """A_t - kl_coef * sum of k1 from t to the completion's end (N,): the KL as a part of the reward, undiscounted
    (REINFORCE++, arXiv:2501.03262)."""
    return advantages - kl_coef * sums_to_go(k1(old_logprobs, ref_logprobs), sequences)
