"""Methods by name: those of the tables, or the user's own by ``package.module:function``, tried before a run begins."""

from typing import Any, cast

import torch
from torch import Tensor

from thinkwright.algorithms.advantages import ADVANTAGES, AdvantageFunction
from thinkwright.algorithms.policy_loss import POLICY_LOSSES, PolicyLoss
from thinkwright.algorithms.tokens import LossTokens
from thinkwright.errors import RecipeError
from thinkwright.user_function import load_named, problem_with


def advantage_of(name: str) -> AdvantageFunction:
    """The function that makes advantages (P, G) of rewards (P, G) and is_counted (P, G).

    Raises RecipeError if it cannot be imported or gives anything else on two small groups.
    """
    if name in ADVANTAGES:
        return ADVANTAGES[name]
    function = _own_function("algorithm.advantage", name, "function(rewards, is_counted) -> advantages", 2)
    rewards = torch.tensor([[1.0, 0.0, 2.0, 0.5], [1.0, 1.0, 1.0, 1.0]])
    is_counted = torch.tensor([[True, True, True, False], [True] * 4])
    found = _tried("algorithm.advantage", name, function, rewards, is_counted)
    _check("algorithm.advantage", name, "advantages", found, rewards)
    return function


def policy_loss_of(name: str) -> PolicyLoss:
    """The function that makes the loss (N,) and what was clipped (N,) of ``LossTokens``.

    Raises RecipeError if it cannot be imported, gives anything else on a few tokens, or has no gradient there.
    """
    if name in POLICY_LOSSES:
        return POLICY_LOSSES[name]
    key = "algorithm.loss"
    function = _own_function(key, name, "function(tokens) -> losses, whether clipped", 1)
    logprobs = torch.tensor([-0.5, -1.0, -2.0, -0.1, -3.0], requires_grad=True)
    before = torch.tensor([-0.6, -1.0, -1.5, -0.1, -2.9])
    tokens = LossTokens(
        logprobs=logprobs,
        old_logprobs=before,
        rollout_logprobs=before,
        advantages=torch.tensor([1.0, 1.0, 1.0, -0.5, -0.5]),
        sequences=torch.tensor([0, 0, 0, 1, 1]),
    )
    found = _tried(key, name, function, tokens)
    if not isinstance(found, tuple) or len(cast("tuple[Any, ...]", found)) != 2:
        raise RecipeError(f"{key}: {name} must give two tensors, each token's loss and whether it was clipped")
    per_token, is_clipped = cast("tuple[Any, Any]", found)
    _check(key, name, "losses", per_token, logprobs)
    if not isinstance(is_clipped, Tensor) or is_clipped.dtype != torch.bool or is_clipped.shape != logprobs.shape:
        raise RecipeError(f"{key}: {name}: the second tensor must be bool, one for each token ({len(logprobs)},)")
    if not _has_gradient(per_token, logprobs):
        raise RecipeError(
            f"{key}: {name}: its losses have no finite gradient by tokens.logprobs, so nothing would be learned; "
            "compute them from tokens.logprobs without detach()"
        )
    return function


def _has_gradient(per_token: Tensor, logprobs: Tensor) -> bool:
    if not per_token.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(per_token.sum(), logprobs, materialize_grads=True)
    return bool(gradient.isfinite().all()) and bool(gradient.any())


def _own_function(key: str, name: str, form: str, num_arguments: int) -> Any:
    if (problem := problem_with(name, form, num_arguments)) is not None:
        raise RecipeError(f"{key}: {name}: {problem}")
    return load_named(name)


def _tried(key: str, name: str, function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        raise RecipeError(
            f"{key}: {name}, tried on a small example, raised {type(error).__name__}: {error}; docs/extending.md shows "
            "what it is called with"
        ) from error


def _check(key: str, name: str, what: str, found: Any, like: Tensor) -> None:
    if not isinstance(found, Tensor) or found.shape != like.shape or not found.dtype.is_floating_point:
        got = f"shape {tuple(found.shape)}, {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
        raise RecipeError(f"{key}: {name} must give {what} of shape {tuple(like.shape)} in floats, and gave {got}")
    if not found.isfinite().all():
        raise RecipeError(f"{key}: {name} gave {what} that are not finite on a small example")
