"""The update: one gradient however it is cut into micro-batches, and never a step on numbers that are not finite."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training_groups import training_group, with_members
from thinkwright.algorithms.advantages import group_std
from thinkwright.algorithms.kl import k3
from thinkwright.config.algorithm import Algorithm
from thinkwright.errors import TrainingError
from thinkwright.models.policy import Policy, load_policy
from thinkwright.training.groups import mini_batches, training_groups, with_advantages
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater, micro_batches, policy_logprobs, tree_of, with_tokens
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout, TrainingGroup

CPU = torch.device("cpu")
GROUPS = [
    training_group((5, 9, 301), ((1, 2, 3, 4), (9, 8)), ((-3.0, -2.5, -4.0, -1.0), (-2.0, -6.0)), (1.0, -1.0)),
    training_group((3, 200), ((7,), (10, 11, 12)), ((-5.0,), (-3.0, -3.5, -4.5)), (-0.5, 0.5)),
    training_group(
        (3, 4, 5, 6), ((7, 7), (10, 11)), ((-5.0, -4.0), (-3.0, -3.5)), (2.0, 0.0), is_counted=(True, False)
    ),
]


def fresh(folder: Path, **algorithm: Any) -> tuple[Policy, Updater, MasterOptimizer, Policy]:
    policy = load_policy(str(folder), device=CPU, dtype=torch.float32)
    reference = load_policy(str(folder), device=CPU, dtype=torch.float32)
    with torch.no_grad():
        for param in reference.model.parameters():
            param.mul_(1.1)
    optimizer = MasterOptimizer(policy.model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    updater = Updater(policy, reference, optimizer, Algorithm(**algorithm), 1.0, 10_000, max_tokens=64)
    return policy, updater, optimizer, reference


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("micro_batch_tokens", [1, 12, 10_000])
def test_gradient_equals_plain_per_sequence_autograd_whatever_the_micro_batch(
    model_folder: Callable[[str], Path], reduction: str, micro_batch_tokens: int
) -> None:
    policy, _, optimizer, reference = fresh(model_folder("qwen2"))
    algorithm = Algorithm.model_validate({"reduction": reduction, "kl_coef": 0.3})
    updater = Updater(policy, reference, optimizer, algorithm, 1.0, micro_batch_tokens, max_tokens=64)
    seen: dict[str, torch.Tensor] = {}
    optimizer.step = lambda *_: seen.update({n: m.grad.clone() for n, m in optimizer.masters.items()})  # type: ignore[method-assign]
    updater.update(GROUPS, lr=1e-3, max_grad_norm=1e9)

    plain, plain_reference = (plain_model(model_folder("qwen2"), scale) for scale in (1.0, 1.1))
    plain_loss(plain, plain_reference, reduction, kl_coef=0.3).backward()
    for name, param in plain.named_parameters():
        torch.testing.assert_close(seen[name], param.grad, atol=1e-5, rtol=1e-4, msg=name)


def plain_model(folder: Path, scale: float) -> torch.nn.Module:
    """The model under transformers' own attention, its weights scaled."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for param in model.parameters():
            param.mul_(scale)
    return model.eval()


def plain_logprobs(model: torch.nn.Module, prompt: tuple[int, ...], completion: tuple[int, ...]) -> torch.Tensor:
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(completion)[:, None])[:, 0]


def plain_loss(model: torch.nn.Module, reference: torch.nn.Module, reduction: str, kl_coef: float) -> torch.Tensor:
    """The same loss, one unpacked sequence at a time, written out."""
    total, num_tokens, num_sequences = torch.zeros(()), 4 + 2 + 1 + 3 + 2, 5
    for group in GROUPS:
        for member in group.members:
            completion, old, advantage = member.token_ids, member.rollout_logprobs, member.advantages[0]
            if not member.is_counted:
                continue
            logprobs = plain_logprobs(model, group.prompt_ids, completion)
            with torch.no_grad():
                ref_logprobs = plain_logprobs(reference, group.prompt_ids, completion)
            ratio = (logprobs - torch.tensor(old)).exp()
            loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.28) * advantage) + kl_coef * k3(
                logprobs, ref_logprobs
            )
            total = total + (loss.sum() / num_tokens if reduction == "token_mean" else loss.mean() / num_sequences)
    return total


@pytest.mark.parametrize("max_tokens", [1, 5, 8, 12, 10_000])
def test_micro_batches_hold_every_completion_once_within_the_budget(max_tokens: int) -> None:
    batches = list(micro_batches(GROUPS, max_tokens))
    members = [(g.prompt_ids, c) for batch in batches for g in batch for c in g.completions]
    assert members == [(g.prompt_ids, c) for g in GROUPS for c in g.completions]
    for batch in batches:
        num_tokens = sum(len(g.prompt_ids) + sum(map(len, g.completions)) for g in batch)
        assert num_tokens <= max_tokens or sum(len(g.completions) for g in batch) == 1
    if max_tokens == 10_000:
        assert [len(batch) for batch in batches] == [len(GROUPS)]


def test_a_step_raises_the_probability_of_good_completions(model_folder: Callable[[str], Path]) -> None:
    policy, updater, _, _ = fresh(model_folder("llama"), kl_coef=0.0)
    on_policy = [with_current_logprobs(policy, group) for group in GROUPS[:2]]
    before = logprobs_of(policy, on_policy).detach()
    metrics = updater.update(on_policy, lr=1e-3, max_grad_norm=1.0)
    after = logprobs_of(policy, on_policy).detach()
    assert (after - before)[:4].sum() > 0 > (after - before)[4:6].sum()
    assert metrics["policy/logprob_gap"] < 1e-5
    assert metrics["policy/clip_fraction"] == 0


def logprobs_of(policy: Policy, groups: list[TrainingGroup]) -> torch.Tensor:
    tokens = torch.tensor([token for group in groups for completion in group.completions for token in completion])
    return policy_logprobs(policy, tree_of(groups), tokens, 1.0)[0]


def with_current_logprobs(policy: Policy, group: TrainingGroup) -> TrainingGroup:
    flat = iter(logprobs_of(policy, [group]).tolist())
    return with_tokens(group, "rollout_logprobs", flat)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(model_folder: Callable[[str], Path]) -> None:
    policy, updater, _, _ = fresh(model_folder("qwen2"))
    weights = [param.clone() for param in policy.model.parameters()]
    broken = with_members(GROUPS[0], advantages=(float("nan"), 1.0))
    with pytest.raises(TrainingError, match="not finite"):
        updater.update([broken], lr=1e-3, max_grad_norm=1.0)
    assert all(torch.equal(a, b) for a, b in zip(weights, policy.model.parameters(), strict=True))


def rollout_group(rewards: list[float], finish: list[str]) -> RolloutGroup:
    prompt = Prompt("p", "q", "t", "number", "1", "1", "r1_zero", "arithmetic", 1, "en")
    members = tuple(
        ScoredRollout(Rollout((1, 2), (-1.0, -1.0), (-1.0, -1.0), (False, False), "", reason, 0), {}, reward)  # type: ignore[arg-type]
        for reward, reason in zip(rewards, finish, strict=True)
    )
    return RolloutGroup(prompt, (1,), members)


def test_groups_without_variance_are_skipped() -> None:
    groups = [rollout_group([1.0, 1.0], ["stop"] * 2), rollout_group([1.0, 0.0], ["stop"] * 2)]
    flat, kept = with_advantages(groups, Algorithm(), group_std)
    assert len(training_groups([flat, kept], Algorithm())) == 1
    assert [member.advantage for member in flat.members] == [None, None]
    assert [member.advantage for member in kept.members] == pytest.approx([1.0, -1.0])


def test_truncated_rollouts_are_masked_or_count_as_the_recipe_says() -> None:
    group = rollout_group([2.0, 1.0, 0.0], ["stop", "stop", "length"])
    zero, mask = Algorithm(truncated="zero_reward"), Algorithm(truncated="mask")
    (counted,) = training_groups(with_advantages([group], zero, group_std), zero)
    (masked,) = training_groups(with_advantages([group], mask, group_std), mask)
    assert [member.is_counted for member in counted.members] == [True, True, True]
    assert counted.members[2].advantages < counted.members[1].advantages == (0.0, 0.0)
    assert [member.is_counted for member in masked.members] == [True, True, False]
    assert [member.advantages[0] for member in masked.members] == pytest.approx([1.0, -1.0, 0.0])


def test_mini_batches_deal_all_groups_out_and_leave_none_empty() -> None:
    parts = mini_batches(GROUPS, 2)
    assert [len(part) for part in parts] == [2, 1]
    assert len(mini_batches(GROUPS[:1], 4)) == 1


def test_bf16_weights_follow_fp32_masters_and_small_steps_add_up(model_folder: Callable[[str], Path]) -> None:
    policy = load_policy(str(model_folder("qwen2")), device=CPU, dtype=torch.bfloat16)
    optimizer = MasterOptimizer(policy.model, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0)
    name, param = next(iter(policy.model.named_parameters()))
    start = optimizer.masters[name].clone()
    for _ in range(50):
        param.float().sum().backward()
        optimizer.step(1e-5, optimizer.gradient_norm(0.0), 1e9)
    moved = optimizer.masters[name] - start
    torch.testing.assert_close(moved, torch.full_like(moved, -50e-5), atol=2e-5, rtol=0)
    assert torch.equal(param.detach(), optimizer.masters[name].to(torch.bfloat16))


def test_a_beginning_that_prompts_share_counts_once_in_a_micro_batch() -> None:
    preamble = tuple(range(20))
    groups = [training_group((*preamble, 30 + i), ((1, 2, 3),), ((0.0,) * 3,), (1.0,)) for i in range(4)]
    assert [len(batch) for batch in micro_batches(groups, max_tokens=20 + 2 * 4)] == [2, 2]


def test_samples_of_other_weights_are_weighed_by_what_these_make_of_them(model_folder: Callable[[str], Path]) -> None:
    """To the same numbers with a pass before the first update and without; drawn three times less likely: at 2."""
    found: list[dict[str, float]] = []
    for is_told, shift in [(True, 0.0), (False, 0.0), (True, -1.0986), (False, -1.0986)]:
        policy, updater, _, _ = fresh(model_folder("qwen2"), kl_coef=0.0)
        groups = [with_current_logprobs(policy, group) for group in GROUPS]
        drawn = [
            with_members(group, rollout_logprobs=[[p + shift for p in m.rollout_logprobs] for m in group.members])
            for group in groups
        ]
        given = updater.with_old_logprobs(drawn) if is_told else drawn
        found.append(updater.update(given, lr=1e-3, max_grad_norm=1e9, is_corrected=True))
    told, untold, told_twice, untold_twice = found
    assert told == pytest.approx(untold, abs=1e-5)
    assert told_twice == pytest.approx(untold_twice, abs=1e-5)
    assert told["policy/correction"] == pytest.approx(1, abs=1e-5)
    assert told_twice["policy/correction"] == pytest.approx(2, abs=1e-5)
    assert told_twice["optim/grad_norm"] == pytest.approx(2 * told["optim/grad_norm"], rel=1e-4)


@pytest.fixture(scope="module")
def gradients_of(model_folder: Callable[[str], Path]) -> Callable[..., dict[str, torch.Tensor]]:
    """Gradients of an update that takes no step, so that all share two policies."""
    policy, _, _, reference = fresh(model_folder("qwen2"))

    @cache
    def of_method(groups: tuple[TrainingGroup, ...], micro_batch_tokens: int, settings: Algorithm) -> Any:
        optimizer = MasterOptimizer(policy.model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
        updater = Updater(policy, reference, optimizer, settings, 1.0, micro_batch_tokens, max_tokens=64)
        seen: dict[str, torch.Tensor] = {}
        optimizer.step = lambda *_: seen.update({n: m.grad.clone() for n, m in optimizer.masters.items()})  # type: ignore[method-assign]
        updater.update(groups, lr=1e-3, max_grad_norm=1e9)
        optimizer.forget_gradients()
        return seen

    def of(groups: Sequence[TrainingGroup], micro_batch_tokens: int = 10_000, **changes: Any) -> Any:
        return of_method(tuple(groups), micro_batch_tokens, Algorithm.model_validate({"kl_coef": 0.1} | changes))

    return of


METHODS: list[dict[str, Any]] = [
    {"reduction": "prompt_mean"},
    {"reduction": "fixed_length"},
    {"loss": "gspo", "clip_low": 0.3, "clip_high": 0.3},
    {"loss": "cispo"},
    {"loss": "dppo"},
    {"loss": "policy_gradient"},
    {"loss": "sapo"},
    {"kl": "k2", "kl_coef": 0.3},
    {"kl": "k3_unbiased", "kl_coef": 0.3},
    {"kl": "k1", "kl_in": "reward", "kl_coef": 0.3},
    {"entropy": "bonus", "entropy_coef": 0.3},
    {"entropy": "kl_cov", "entropy_share": 0.4},
    {"entropy": "clip_cov", "entropy_share": 0.4, "covariance_low": -9.0, "covariance_high": 9.0},
]


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_every_method_has_one_gradient_however_an_update_is_cut(
    gradients_of: Callable[..., dict[str, torch.Tensor]], settings: dict[str, Any]
) -> None:
    plain = gradients_of(GROUPS)
    whole = gradients_of(GROUPS, **settings)
    cut = gradients_of(GROUPS, micro_batch_tokens=1, **settings)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, atol=1e-5, rtol=1e-4, msg=name)
    assert any(not torch.allclose(plain[name], gradient) for name, gradient in whole.items())  # it has an effect


IN_ANY_ORDER = [settings for settings in METHODS if settings.get("entropy") != "clip_cov"]  # draws tokens by place


@pytest.mark.parametrize("settings", IN_ANY_ORDER, ids=lambda settings: "-".join(map(str, settings.values())))
def test_the_order_of_members_and_those_left_out_change_no_gradient(
    gradients_of: Callable[..., dict[str, torch.Tensor]], settings: dict[str, Any]
) -> None:
    found = gradients_of(GROUPS, **settings)
    turned = [replace(group, members=group.members[::-1]) for group in GROUPS]
    left_out = replace(
        turned[2].members[0], token_ids=(1, 2, 3, 4, 5), rollout_logprobs=(-1.0,) * 5, advantages=(0.0,) * 5
    )
    longer = replace(turned[2], members=(left_out, turned[2].members[1]))
    other = gradients_of([*turned[:2], longer], **settings)
    for name, gradient in found.items():
        torch.testing.assert_close(other[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("settings", [{}, *METHODS], ids=lambda settings: "-".join(map(str, settings.values())))
def test_tokens_that_were_given_are_not_learned_from(
    gradients_of: Callable[..., dict[str, torch.Tensor]], settings: dict[str, Any]
) -> None:
    given = ((True, False, False, True), (True, True))
    groups = [with_members(GROUPS[0], is_drawn=given), *GROUPS[1:]]
    told = (-3.0, -0.1, -9.0, -1.0)
    other = [with_members(groups[0], rollout_logprobs=(told, GROUPS[0].members[1].rollout_logprobs)), *GROUPS[1:]]
    found, same, plain = (gradients_of(given, **settings) for given in (groups, other, GROUPS))
    assert all(torch.equal(same[name], gradient) for name, gradient in found.items())
    assert any(not torch.allclose(plain[name], gradient) for name, gradient in found.items())


def test_only_tokens_of_high_entropy_are_learned_from(model_folder: Callable[[str], Path]) -> None:
    policy, _, optimizer, _ = fresh(model_folder("qwen2"))
    settings = Algorithm(kl_coef=0.0, entropy="high_entropy", entropy_share=0.25)
    updater = Updater(policy, None, optimizer, settings, 1.0, 10_000, max_tokens=64)
    metrics = updater.update([with_current_logprobs(policy, GROUPS[0])], lr=1e-3, max_grad_norm=1.0)
    assert metrics["policy/clip_fraction"] == pytest.approx(
        1 - 2 / 6, abs=1e-6
    )  # two of the six tokens: a quarter, rounded


def test_an_optimizer_that_begins_anew_takes_its_first_step_again(model_folder: Callable[[str], Path]) -> None:
    _, updater, optimizer, _ = fresh(model_folder("qwen2"))
    updater.update(GROUPS, lr=1e-3, max_grad_norm=1.0)
    assert any(value.any() for name, value in optimizer.tensors().items() if name.startswith("exp_avg"))
    optimizer.begin_anew()
    state = {name: value for name, value in optimizer.tensors().items() if not name.startswith("masters/")}
    assert state
    assert not any(value.any() for value in state.values())


@pytest.mark.parametrize("micro_batch_tokens", [1, 12])
def test_old_logprobs_do_not_depend_on_the_micro_batch(
    model_folder: Callable[[str], Path], micro_batch_tokens: int
) -> None:
    policy, updater, optimizer, reference = fresh(model_folder("qwen2"))
    cut = Updater(policy, reference, optimizer, Algorithm(), 1.0, micro_batch_tokens, max_tokens=64)
    for ours, theirs in zip(cut.with_old_logprobs(GROUPS), updater.with_old_logprobs(GROUPS), strict=True):
        for member, other in zip(ours.members, theirs.members, strict=True):
            assert member.old_logprobs == pytest.approx(other.old_logprobs, abs=1e-5)


def test_with_several_threads_the_same_update_is_the_same_bit_for_bit(
    gradients_of: Callable[..., dict[str, torch.Tensor]],
) -> None:
    # Many completions read the prompt's last token, so its gradient is a sum whose order must not depend on threads.
    rng, before = Random(0), torch.get_num_threads()
    completions = tuple(tuple(rng.randrange(10, 300) for _ in range(40)) for _ in range(32))
    group = training_group(
        tuple(rng.randrange(10, 300) for _ in range(30)),
        completions,
        ((-3.0,) * 40,) * 32,
        tuple(rng.gauss(0, 1) for _ in range(32)),
    )
    try:
        torch.set_num_threads(2)
        first, *others = (gradients_of([group], micro_batch_tokens=100_000 + i) for i in range(4))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(other[name], gradient) for other in others for name, gradient in first.items())
