"""Losses, reductions, KL, corrections and entropy's rules against numbers by hand, and what must hold of all."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thinkwright.algorithms.entropy import covariances, drawn_within, largest
from thinkwright.algorithms.kl import KL_ESTIMATORS, k1, k2, k3, kl_penalized
from thinkwright.algorithms.policy_loss import POLICY_LOSSES
from thinkwright.algorithms.reductions import REDUCTIONS
from thinkwright.algorithms.rollout_correction import CORRECTIONS
from thinkwright.algorithms.tokens import LossTokens, sequence_means, sequence_sums, sums_to_go
from thinkwright.config.algorithm import LOSS_SETTINGS


def loss_of(name: str) -> Callable[[LossTokens], tuple[Tensor, Tensor]]:
    return lambda tokens: POLICY_LOSSES[name](tokens, **LOSS_SETTINGS[name])


def one_token(ratio: float, advantage: float) -> LossTokens:
    """Of one completion, its log-probability log(ratio) - 1 with a gradient, -1 before."""
    logprobs = torch.tensor([math.log(ratio) - 1.0], requires_grad=True)
    before = torch.tensor([-1.0])
    return LossTokens(logprobs, before, before, torch.tensor([advantage]), torch.tensor([0]))


def gradient(tokens: LossTokens, per_token: Tensor) -> float:
    (found,) = torch.autograd.grad(per_token.sum(), tokens.logprobs)
    return float(found)


def test_the_recipe_knows_the_same_names() -> None:
    assert tuple(POLICY_LOSSES) == tuple(LOSS_SETTINGS)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "is_clipped"),
    [
        (1.0, 2.0, -2.0, False),
        (1.5, 1.0, -1.28, True),  # above the upper bound, good token: no further push
        (1.5, -1.0, 1.5, False),  # above the upper bound, bad token: pushed down in full
        (0.5, -1.0, 0.8, True),  # below the lower bound, bad token: no further push
        (0.5, 1.0, -0.5, False),
    ],
)
@pytest.mark.parametrize("name", ["clip", "gspo"])  # alike where a completion is one token
def test_clipped_loss_by_hand(name: str, ratio: float, advantage: float, loss: float, is_clipped: bool) -> None:
    tokens = one_token(ratio, advantage)
    per_token, clipped = POLICY_LOSSES[name](tokens, clip_low=0.2, clip_high=0.28)
    torch.testing.assert_close(per_token, torch.tensor([loss]))
    assert clipped.item() is is_clipped
    assert (gradient(tokens, per_token) == 0) is is_clipped


def test_dual_clip_bounds_the_loss_of_a_bad_token_that_became_likely() -> None:
    tokens = one_token(ratio=10.0, advantage=-1.0)
    per_token, clipped = POLICY_LOSSES["clip"](tokens, clip_low=0.2, clip_high=0.28, clip_dual=3.0)
    assert per_token.item() == pytest.approx(3.0)
    assert clipped.item()
    assert gradient(tokens, per_token) == 0
    for ratio, advantage, loss in ((2.0, -1.0, 2.0), (10.0, -2.0, 6.0), (1.0, 0.5, -0.5)):
        per_token, clipped = POLICY_LOSSES["clip"](
            one_token(ratio, advantage), clip_low=0.2, clip_high=0.28, clip_dual=3.0
        )
        assert per_token.item() == pytest.approx(loss)
        assert clipped.item() is (ratio == 10.0)


def test_gspo_takes_a_completion_by_the_geometric_mean_of_its_ratios() -> None:
    logprobs = torch.tensor([math.log(2.0), math.log(0.5), math.log(1.21)], requires_grad=True)
    tokens = LossTokens(logprobs, torch.zeros(3), torch.zeros(3), torch.ones(3), torch.tensor([0, 0, 1]))
    per_token, clipped = POLICY_LOSSES["gspo"](tokens, clip_low=0.1, clip_high=0.1)
    torch.testing.assert_close(per_token, torch.tensor([-1.0, -1.0, -1.1]))
    assert clipped.tolist() == [False, False, True]
    (found,) = torch.autograd.grad(per_token.sum(), logprobs)
    torch.testing.assert_close(found, torch.tensor([-1.0, -1.0, 0.0]))


@pytest.mark.parametrize(("ratio", "weight"), [(1.0, 1.0), (4.0, 4.0), (9.0, 5.0), (0.1, 0.1)])
@pytest.mark.parametrize("advantage", [1.0, -2.0])
def test_cispo_weighs_every_token_and_drops_none(ratio: float, weight: float, advantage: float) -> None:
    tokens = one_token(ratio, advantage)
    per_token, is_capped = POLICY_LOSSES["cispo"](tokens, weight_cap=5.0)
    assert per_token.item() == pytest.approx(-weight * advantage * (math.log(ratio) - 1), rel=1e-5)
    assert gradient(tokens, per_token) == pytest.approx(-weight * advantage)
    assert is_capped.item() is (ratio > 5)


@pytest.mark.parametrize(
    ("now", "before", "advantage", "is_masked"),
    [
        (0.9, 0.6, 1.0, True),  # good and already likelier by 0.3
        (0.9, 0.6, -1.0, False),  # bad: pushed back in full
        (0.6, 0.9, -1.0, True),
        (0.002, 0.0001, 1.0, False),  # twenty times as likely, and hardly a change
    ],
)
def test_dppo_masks_by_the_change_of_probability(now: float, before: float, advantage: float, is_masked: bool) -> None:
    logprobs = torch.tensor([math.log(now)], requires_grad=True)
    drawn = torch.tensor([math.log(before)])
    tokens = LossTokens(logprobs, torch.tensor([-9.0]), drawn, torch.tensor([advantage]), torch.tensor([0]))
    per_token, masked = POLICY_LOSSES["dppo"](tokens, max_change=0.2, weight_cap=5.0)
    assert masked.item() is is_masked
    weight = 0.0 if is_masked else min(now / before, 5.0)
    assert gradient(tokens, per_token) == pytest.approx(-weight * advantage, rel=1e-4)


def test_sapo_fades_by_a_sigmoid() -> None:
    for advantage, temperature in ((1.0, 1.0), (-1.0, 1.05)):
        tokens = one_token(1.7, advantage)
        per_token, _ = POLICY_LOSSES["sapo"](tokens, gate_positive=1.0, gate_negative=1.05)
        gate = 1 / (1 + math.exp(-temperature * 0.7))
        assert per_token.item() == pytest.approx(-4 / temperature * gate * advantage, rel=1e-5)
        assert gradient(tokens, per_token) == pytest.approx(-4 * gate * (1 - gate) * 1.7 * advantage, rel=1e-5)


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_on_policy_every_gradient_is_reinforce_with_a_baseline(name: str) -> None:
    logprobs = torch.tensor([-0.5, -2.0, -1.0], requires_grad=True)
    before, advantages = logprobs.detach(), torch.tensor([1.0, 1.0, -0.5])
    per_token, clipped = loss_of(name)(LossTokens(logprobs, before, before, advantages, torch.tensor([0, 0, 1])))
    (found,) = torch.autograd.grad(per_token.sum(), logprobs)
    torch.testing.assert_close(found, -advantages)
    assert not clipped.any()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip", {"clip_low": 0.0, "clip_high": 0.0, "clip_dual": 1.0}),
        ("cispo", {"weight_cap": 1.0}),
        ("dppo", {"max_change": 0.0, "weight_cap": 1.0}),
    ],
)
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_what_lies_on_a_bound_is_within_it(name: str, settings: dict[str, float], advantage: float) -> None:
    _, clipped = POLICY_LOSSES[name](one_token(1.0, advantage), **settings)
    assert not clipped.item()


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_whether_a_token_is_clipped_is_a_truth_value(name: str) -> None:
    assert loss_of(name)(one_token(1.5, 1.0))[1].dtype == torch.bool


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_a_completion_owes_nothing_to_its_neighbours(name: str) -> None:
    torch.manual_seed(0)
    values = [torch.randn(7) for _ in range(4)]
    sequences = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    whole = loss_of(name)(LossTokens(*values, sequences))[0]
    for first, last in ((0, 3), (3, 5), (5, 7)):
        part = LossTokens(*(value[first:last] for value in values), torch.zeros(last - first, dtype=torch.long))
        torch.testing.assert_close(loss_of(name)(part)[0], whole[first:last])


def test_sums_over_completions_by_hand() -> None:
    values, sequences = torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0]), torch.tensor([0, 0, 0, 1, 1])
    assert sequence_sums(values, sequences).tolist() == [6, 6, 6, 12, 12]
    assert sequence_means(values, sequences).tolist() == [2, 2, 2, 6, 6]
    assert sums_to_go(values, sequences).tolist() == [6, 5, 3, 12, 7]


def test_reductions_by_hand() -> None:
    # Two prompts: completions of 3 and 1 tokens, and one of 4.
    lengths, prompts = torch.tensor([3, 1, 4]), torch.tensor([0, 0, 1])
    expected = {
        "token_mean": [1 / 8, 1 / 8, 1 / 8],
        "sequence_mean": [1 / 9, 1 / 3, 1 / 12],
        "prompt_mean": [1 / 8, 1 / 8, 1 / 8],
        "fixed_length": [1 / 30, 1 / 30, 1 / 30],
    }
    assert expected.keys() == REDUCTIONS.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(REDUCTIONS[name](lengths, prompts, 10), torch.tensor(weights))
    longer = torch.tensor([3, 1, 12])
    torch.testing.assert_close(REDUCTIONS["prompt_mean"](longer, prompts, 12), torch.tensor([1 / 8, 1 / 8, 1 / 24]))
    for name in ("token_mean", "sequence_mean", "prompt_mean"):  # weights of all tokens sum to 1
        assert float((REDUCTIONS[name](longer, prompts, 12) * longer).sum()) == pytest.approx(1.0)


def test_kl_estimators_by_hand() -> None:
    policy, reference = torch.tensor([0.0, -1.0]), torch.tensor([math.log(2.0), -1.5])
    torch.testing.assert_close(k1(policy, reference), torch.tensor([-math.log(2.0), 0.5]))
    torch.testing.assert_close(k2(policy, reference), torch.tensor([math.log(2.0) ** 2 / 2, 0.125]))
    torch.testing.assert_close(k3(policy, reference), torch.tensor([2 - math.log(2) - 1, math.exp(-0.5) + 0.5 - 1]))


def test_k1_and_k3_are_unbiased_and_k3_is_never_negative() -> None:
    torch.manual_seed(0)
    policy, reference = torch.log_softmax(torch.randn(6), -1), torch.log_softmax(torch.randn(6), -1)
    exact = (policy.exp() * (policy - reference)).sum()
    for name in ("k1", "k3"):
        torch.testing.assert_close((policy.exp() * KL_ESTIMATORS[name](policy, reference)).sum(), exact)
    assert (k3(policy, reference) >= 0).all()


def test_k2_in_the_loss_has_the_gradient_of_the_kl_and_k1_has_none() -> None:
    torch.manual_seed(0)
    logits, reference = torch.randn(6, requires_grad=True), torch.log_softmax(torch.randn(6), -1)
    policy = torch.log_softmax(logits, -1)
    (exact,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)
    for name, expected in (("k2", exact), ("k1", torch.zeros(6))):
        # Tokens drawn from the policy: the draws have no gradient.
        mean = (policy.detach().exp() * KL_ESTIMATORS[name](policy, reference)).sum()
        (found,) = torch.autograd.grad(mean, logits, retain_graph=True)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_k3_times_the_ratio_is_unbiased_for_tokens_of_an_older_policy() -> None:
    torch.manual_seed(0)
    logits, reference = torch.randn(6, requires_grad=True), torch.log_softmax(torch.randn(6), -1)
    policy, older = torch.log_softmax(logits, -1), torch.log_softmax(torch.randn(6), -1)
    (exact,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)
    mean = (older.exp() * (policy - older).exp() * k3(policy, reference)).sum()
    (found,) = torch.autograd.grad(mean, logits)
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-5)


def test_kl_in_the_reward_falls_to_every_token_before_it() -> None:
    old, reference = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-1.5, -2.0, -0.25])
    found = kl_penalized(torch.tensor([1.0, 1.0, -1.0]), old, reference, torch.tensor([0, 0, 1]), kl_coef=0.1)
    torch.testing.assert_close(found, torch.tensor([1 - 0.05, 1.0, -1 + 0.025]))


def test_a_completions_correction_is_the_product_of_its_tokens() -> None:
    old, drawn = torch.tensor([-1.0, -2.0, -1.0, -1.0]), torch.tensor([-1.5, -2.5, -1.2, -0.8])
    tokens = LossTokens(old, old, drawn, torch.zeros(4), torch.tensor([0, 0, 1, 1]))
    found = CORRECTIONS["truncate_sequence"](tokens, 2.0)
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0, 1.0, 1.0]))  # e caps at 2; 0.2 - 0.2 is nothing


def test_covariance_by_hand_and_its_largest() -> None:
    counted = torch.tensor([True, True, False, True])
    found = covariances(torch.tensor([-1.0, -2.0, 9.0, -3.0]), torch.tensor([2.0, 0.0, 5.0, -2.0]), counted)
    torch.testing.assert_close(found, torch.tensor([2.0, 0.0, -torch.inf, 2.0]))
    alone = covariances(torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0]), torch.tensor([True, False]))
    assert alone.tolist() == [0.0, -math.inf]
    assert largest(found, 0.67).dtype == torch.bool
    assert largest(found, 0.67).tolist() == [True, False, False, True]
    assert largest(found, 0.01).sum() == 1
    assert not largest(torch.full((3,), -torch.inf), 0.5).any()


def test_tokens_within_bounds_are_drawn_alike_for_the_same_seed() -> None:
    values = torch.arange(100.0)
    found = drawn_within(values, 10.0, 59.0, share=0.2, seed="3")
    assert found.dtype == torch.bool
    assert found.sum() == 20
    assert not found[:10].any()
    assert not found[60:].any()
    assert torch.equal(found, drawn_within(values, 10.0, 59.0, share=0.2, seed="3"))
    assert not torch.equal(found, drawn_within(values, 10.0, 59.0, share=0.2, seed="4"))
    assert drawn_within(values, 10.0, 12.0, share=0.2, seed="3").sum() == 3
    assert drawn_within(values, 10.0, 12.0, share=0.0001, seed="3").sum() == 1
    assert not drawn_within(values, 200.0, 300.0, share=0.2, seed="3").any()
