"""The engine samples what it says it samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from thinkwright.errors import ModelError
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.rollout.sampling import sample_tokens, uniforms
from thinkwright.training.update import policy_logprobs
from thinkwright.types import Rollout, TrainingGroup

SETTINGS = SamplingSettings(group_size=4, max_tokens=70, temperature=1.3, seed=7, step=3)
REQUESTS = [RolloutRequest("a", (5, 9, 301, 44)), RolloutRequest("b", (3, 200)), RolloutRequest("c", (8,) * 30)]


def often_ending(policy: Policy) -> Policy:
    """The policy with many end tokens, so that completions end at different lengths and the batch is compacted."""
    policy.model.generation_config.eos_token_id = list(range(40))
    return policy


def test_stored_logprobs_equal_the_trainers_at_the_sampling_temperature(policy: Policy) -> None:
    groups = NativeEngine(often_ending(policy)).generate(REQUESTS, SETTINGS, policy_version=5)
    training = [
        TrainingGroup(
            request.prompt_ids,
            tuple(r.token_ids for r in group),
            tuple(r.logprobs for r in group),
            (0.0,) * 4,
            (True,) * 4,
        )
        for request, group in zip(REQUESTS, groups, strict=True)
    ]
    with torch.no_grad():
        trainer, _ = policy_logprobs(policy, training, temperature=1.3)
    stored = torch.tensor([p for group in groups for rollout in group for p in rollout.logprobs])
    torch.testing.assert_close(stored, trainer, atol=1e-4, rtol=0)
    assert all(rollout.policy_version == 5 for group in groups for rollout in group)


def test_completions_end_once_at_the_end_token_or_are_truncated_at_the_limit(policy: Policy) -> None:
    groups = NativeEngine(often_ending(policy)).generate(REQUESTS, SETTINGS, 0)
    rollouts = [rollout for group in groups for rollout in group]
    assert len({len(rollout.token_ids) for rollout in rollouts}) > 3, (
        "lengths must differ for this test to mean anything"
    )
    for rollout in rollouts:
        ends = [token in policy.end_ids for token in rollout.token_ids]
        assert sum(ends) == int(rollout.finish_reason == "stop")
        assert ends[-1] == (rollout.finish_reason == "stop")
        assert (len(rollout.token_ids) == SETTINGS.max_tokens) or rollout.finish_reason == "stop"
        assert len(rollout.logprobs) == len(rollout.token_ids)
        assert rollout.text == policy.tokenizer.decode(rollout.token_ids[: len(rollout.token_ids) - sum(ends)])


def test_samples_do_not_depend_on_batch_order_or_company(policy: Policy) -> None:
    engine = NativeEngine(often_ending(policy))
    together = engine.generate(REQUESTS, SETTINGS, 0)
    backwards = engine.generate(REQUESTS[::-1], SETTINGS, 0)[::-1]
    alone = [engine.generate([request], SETTINGS, 0)[0] for request in REQUESTS]
    assert tokens_of(together) == tokens_of(backwards) == tokens_of(alone)


def test_samples_depend_on_seed_step_and_member(policy: Policy) -> None:
    engine = NativeEngine(policy)
    base = tokens_of(engine.generate(REQUESTS, SETTINGS, 0))
    assert base == tokens_of(engine.generate(REQUESTS, SETTINGS, 0))
    assert base != tokens_of(engine.generate(REQUESTS, replace(SETTINGS, seed=8), 0))
    assert base != tokens_of(engine.generate(REQUESTS, replace(SETTINGS, step=4), 0))
    assert len(set(base[0])) > 1


def test_token_frequencies_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -40.0])
    expected = torch.softmax(logits / 1.5, -1).numpy()
    draws = torch.from_numpy(uniforms(0, 0, "p", 0, 40_000)).float()
    tokens, logprobs = sample_tokens(logits.expand(40_000, 5), draws, 1.5)
    seen = np.bincount(tokens.numpy(), minlength=5) / 40_000
    assert np.abs(seen - expected).max() < 0.01
    torch.testing.assert_close(logprobs, torch.log_softmax(logits / 1.5, -1)[tokens])


def test_the_extreme_uniforms_never_draw_an_impossible_token() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    lowest, _ = sample_tokens(logits, torch.tensor([0.0]), 1.0)
    highest, _ = sample_tokens(logits, torch.tensor([1 - 2**-24]), 1.0)
    assert (lowest.item(), highest.item()) == (1, 3)


def test_the_first_uniforms_do_not_depend_on_how_many_are_drawn() -> None:
    np.testing.assert_array_equal(uniforms(1, 2, "p", 3, 10), uniforms(1, 2, "p", 3, 99)[:10])


def test_a_prompt_too_long_for_the_context_is_refused_with_the_numbers(policy: Policy) -> None:
    with pytest.raises(ModelError, match=r"prompt long has 1000 tokens; with 70 response tokens that is 1070.*1024"):
        NativeEngine(policy).generate([RolloutRequest("long", (5,) * 1000)], SETTINGS, 0)


def tokens_of(groups: list[tuple[Rollout, ...]]) -> list[list[tuple[int, ...]]]:
    return [[rollout.token_ids for rollout in group] for group in groups]
