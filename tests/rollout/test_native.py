"""The engine samples what it says it samples."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model_folders import write_model_folder
from thinkwright.errors import ModelError
from thinkwright.models import paged_kernel
from thinkwright.models.attention import AttentionContext
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.token_tree import TokenTree, pack
from thinkwright.rollout import running
from thinkwright.rollout.completions import Completions
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings, ThinkingBudget
from thinkwright.rollout.memory import key_value_bytes
from thinkwright.rollout.native import NativeEngine
from thinkwright.rollout.sampling import draw_tokens, uniforms
from thinkwright.training.update import policy_logprobs
from thinkwright.types import Rollout

SETTINGS = SamplingSettings(group_size=4, max_tokens=70, temperature=1.3, seed=7, step=3)
REQUESTS = [RolloutRequest("a", (5, 9, 301, 44)), RolloutRequest("b", (3, 200)), RolloutRequest("c", (8,) * 30)]
ONE_KIND = pytest.mark.parametrize("policy", ["qwen2"], indirect=True)
"""For what the engine does alike with models of every kind."""


def often_ending(policy: Policy) -> Policy:
    """The policy with many end tokens, so that completions end at different lengths and the batch is compacted."""
    policy.model.generation_config.eos_token_id = list(range(40))
    return policy


def trainers_logprobs(policy: Policy, groups: list[tuple[Rollout, ...]], temperature: float) -> torch.Tensor:
    tree = pack([(r.prompt_ids, [m.token_ids for m in group]) for r, group in zip(REQUESTS, groups, strict=True)])
    tokens = torch.tensor([token for group in groups for rollout in group for token in rollout.token_ids])
    with torch.no_grad():
        return policy_logprobs(policy, tree, tokens, temperature)[0]


def flat(groups: list[tuple[Rollout, ...]], field: str) -> torch.Tensor:
    return torch.tensor([value for group in groups for rollout in group for value in getattr(rollout, field)])


@pytest.mark.parametrize("slots", [3, 256])
def test_stored_logprobs_equal_the_trainers_at_the_sampling_temperature_and_at_one(policy: Policy, slots: int) -> None:
    engine = NativeEngine(often_ending(policy), slots)
    engine.take_weights(5)
    groups = engine.generate(REQUESTS, SETTINGS)
    tempered, plain = trainers_logprobs(policy, groups, 1.3), trainers_logprobs(policy, groups, 1.0)
    torch.testing.assert_close(flat(groups, "logprobs"), tempered, atol=1e-4, rtol=0)
    torch.testing.assert_close(flat(groups, "untempered_logprobs"), plain, atol=1e-4, rtol=0)
    assert all(rollout.policy_version == 5 for group in groups for rollout in group)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [16, 64, 128])
@pytest.mark.parametrize("num_kv", [1, 2, 4])
def test_the_compiled_kernel_gives_what_torch_operations_give(
    dtype: torch.dtype, size: int, num_kv: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model_folder(
        tmp_path / "m", "qwen3", head_dim=size, num_attention_heads=4, num_key_value_heads=num_kv
    )
    policy = load_policy(str(folder), device=torch.device("cpu"), dtype=dtype)
    if not any(map(shutil.which, paged_kernel.COMPILERS)):
        pytest.skip("needs a C++ compiler (apt-get install g++)")
    assert paged_kernel.is_available(policy.device, dtype), "there is a compiler, but the kernel does not compile"
    # Every token is forced, so that both see the same text, whatever the rounding.
    requests = [replace(request, forced_start=(7, 30, 200) * 13) for request in REQUESTS]
    settings = replace(SETTINGS, group_size=2, max_tokens=40)
    by_kernel = NativeEngine(policy, slots=5).generate(requests, settings)
    monkeypatch.setattr(running, "is_available", lambda *_: False)
    by_torch = NativeEngine(policy, slots=5).generate(requests, settings)
    tolerance = 1e-4 if dtype == torch.float32 else 0.15
    ours, theirs = (flat(groups, "untempered_logprobs")[flat(groups, "is_forced")] for groups in (by_kernel, by_torch))
    assert len(ours) == 6 * 39
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def test_without_a_compiler_sampling_goes_on_in_torch_operations(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = NativeEngine(often_ending(policy)).generate(REQUESTS, SETTINGS)
    monkeypatch.setattr(paged_kernel, "COMPILERS", ("no-such-compiler",))
    paged_kernel.compiled.cache_clear()
    try:
        groups = NativeEngine(policy).generate(REQUESTS, SETTINGS)
    finally:
        paged_kernel.compiled.cache_clear()
    assert "no C++ compiler" in caplog.text
    assert tokens_of(groups) == tokens_of(expected)


@ONE_KIND
def test_completions_end_once_at_the_end_token_or_are_truncated_at_the_limit(policy: Policy) -> None:
    groups = NativeEngine(often_ending(policy)).generate(REQUESTS, SETTINGS)
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
    together = engine.generate(REQUESTS, SETTINGS)
    backwards = engine.generate(REQUESTS[::-1], SETTINGS)[::-1]
    alone = [engine.generate([request], SETTINGS)[0] for request in REQUESTS]
    assert tokens_of(together) == tokens_of(backwards) == tokens_of(alone)


@ONE_KIND
def test_samples_depend_on_seed_step_and_member(policy: Policy) -> None:
    engine = NativeEngine(policy)
    base = tokens_of(engine.generate(REQUESTS, SETTINGS))
    assert base == tokens_of(engine.generate(REQUESTS, SETTINGS))
    assert base != tokens_of(engine.generate(REQUESTS, replace(SETTINGS, seed=8)))
    assert base != tokens_of(engine.generate(REQUESTS, replace(SETTINGS, step=4)))
    assert len(set(base[0])) > 1


def test_samples_do_not_depend_on_slots_or_a_shared_prefix(policy: Policy) -> None:
    often_ending(policy)
    prefix = tuple(range(50, 70))
    requests = [replace(request, prompt_ids=prefix + request.prompt_ids) for request in REQUESTS]
    whole = NativeEngine(policy).generate(requests, SETTINGS)
    for slots in (1, 3, 7):
        assert tokens_of(NativeEngine(policy, slots).generate(requests, SETTINGS)) == tokens_of(whole)
    alone = [NativeEngine(policy).generate([request], SETTINGS)[0] for request in requests]
    assert tokens_of(alone) == tokens_of(whole)


@ONE_KIND
def test_a_free_slot_is_filled_at_once(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    append = Completions.append

    def counting(self: Completions, rows: np.ndarray, *values: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        return append(self, rows, *values)

    monkeypatch.setattr(Completions, "append", counting)
    limits = ((70, 3, 5, 2), (4, 60, 2, 2), (1, 1, 9, 30))
    requests = [replace(request, max_tokens=row) for request, row in zip(REQUESTS, limits, strict=True)]
    groups = NativeEngine(policy, slots=3).generate(requests, replace(SETTINGS, ignore_end=True))
    assert tuple(tuple(len(rollout.token_ids) for rollout in group) for group in groups) == limits
    total = sum(map(sum, limits))
    assert sum(sizes) == total
    # No slot stands empty while a completion waits: only the last two run on alone.
    full = [size for size in sizes if size == 3]
    assert sizes == full + [2] * sizes.count(2) + [1] * sizes.count(1)
    assert 3 * len(full) > total - 2 * 70


@ONE_KIND
def test_groups_come_out_as_soon_as_they_are_complete(policy: Policy) -> None:
    limits = ((70, 1, 1, 1), (4, 4, 4, 4), (1, 1, 1, 30))
    requests = [replace(request, max_tokens=row) for request, row in zip(REQUESTS, limits, strict=True)]
    order = [index for index, _ in NativeEngine(policy).stream(requests, replace(SETTINGS, ignore_end=True))]
    assert order == [1, 2, 0]


def test_a_common_prefix_is_computed_once_until_the_weights_change(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tuple(range(50, 70))
    requests = [replace(request, prompt_ids=prefix + request.prompt_ids) for request in REQUESTS]
    engine, read = NativeEngine(policy), []
    hidden_states = Policy.packed_hidden_states

    def recording(self: Policy, tree: TokenTree, context: AttentionContext) -> torch.Tensor:
        read.append(tree.tokens)
        return hidden_states(self, tree, context)

    monkeypatch.setattr(Policy, "packed_hidden_states", recording)
    before = engine.generate(requests, SETTINGS)
    assert [len(tokens) for tokens in read] == [20, 4 + 2 + 30]
    engine.generate(requests, replace(SETTINGS, step=4))
    assert [len(tokens) for tokens in read] == [20, 36, 36]
    with torch.no_grad():
        for param in policy.model.parameters():
            param.mul_(0.5)
    after = engine.generate(requests, SETTINGS)
    assert len(read) == 5
    assert tokens_of(after) != tokens_of(before)
    torch.testing.assert_close(
        flat(after, "logprobs"), flat(NativeEngine(policy).generate(requests, SETTINGS), "logprobs")
    )


@ONE_KIND
def test_prompts_are_read_in_several_passes_when_they_are_many(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tokens_of(NativeEngine(often_ending(policy)).generate(REQUESTS, SETTINGS))
    monkeypatch.setattr(running, "READ_AHEAD_TOKENS", 5)
    assert tokens_of(NativeEngine(policy).generate(REQUESTS, SETTINGS)) == expected


def test_forced_tokens_are_in_the_completion_and_marked(policy: Policy) -> None:
    start = (9, 8, 7)
    requests = [replace(request, forced_start=start) for request in REQUESTS]
    groups = NativeEngine(policy).generate(requests, SETTINGS)
    for group in groups:
        for rollout in group:
            assert rollout.token_ids[:3] == start
            assert rollout.is_forced == (True,) * 3 + (False,) * (len(rollout.token_ids) - 3)
            assert rollout.logprobs[:3] == (0.0,) * 3
            assert rollout.text.startswith(policy.tokenizer.decode(start))
    plain = trainers_logprobs(policy, groups, 1.0)
    torch.testing.assert_close(flat(groups, "untempered_logprobs"), plain, atol=1e-4, rtol=0)


@ONE_KIND
def test_a_thought_that_takes_too_long_is_ended_and_others_are_left_alone(policy: Policy) -> None:
    end = policy.tokenizer.encode("</think>", add_special_tokens=False)
    budget = ThinkingBudget(max_tokens=20, end="</think>", forced=tuple(end))
    settings = replace(SETTINGS, thinking_budget=budget, ignore_end=True)
    requests = [REQUESTS[0], replace(REQUESTS[1], forced_start=tuple(end))]
    too_long, in_time = NativeEngine(policy).generate(requests, settings)
    for rollout in too_long:
        assert rollout.token_ids[20 : 20 + len(end)] == tuple(end)
        assert [i for i, forced in enumerate(rollout.is_forced) if forced] == list(range(20, 20 + len(end)))
        assert len(rollout.token_ids) == SETTINGS.max_tokens
    for rollout in in_time:
        assert sum(rollout.is_forced) == len(end)


@ONE_KIND
def test_a_stop_text_ends_a_completion_with_the_token_that_completes_it(policy: Policy) -> None:
    free = NativeEngine(policy).generate(REQUESTS, replace(SETTINGS, ignore_end=True))
    stop = free[0][0].text[10:13]
    stopped = NativeEngine(policy).generate(REQUESTS, replace(SETTINGS, ignore_end=True, stop=(stop,)))
    assert stopped[0][0].finish_reason == "stop"
    for group, whole in zip(stopped, free, strict=True):
        for rollout, full in zip(group, whole, strict=True):
            count = len(rollout.token_ids)
            assert rollout.token_ids == full.token_ids[:count]
            assert (stop in rollout.text) == (rollout.finish_reason == "stop")
            assert stop not in policy.tokenizer.decode(rollout.token_ids[:-1])


def test_cut_sampling_draws_only_likely_tokens_with_their_renormalized_logprobs(policy: Policy) -> None:
    settings = replace(SETTINGS, temperature=1.0, top_k=3, ignore_end=True, max_tokens=10)
    groups = NativeEngine(policy).generate(REQUESTS, settings)
    cut, plain = flat(groups, "logprobs"), flat(groups, "untempered_logprobs")
    assert (cut > plain).all()
    torch.testing.assert_close(plain, trainers_logprobs(policy, groups, 1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        ({"top_k": 2}, [0, 1]),
        ({"top_p": 0.5}, [0]),
        ({"top_p": 0.7}, [0, 1]),
        ({"min_p": 0.15}, [0, 1, 2]),
        ({"top_k": 3, "top_p": 0.9}, [0, 1]),
        ({}, [0, 1, 2, 3, 4]),
    ],
)
def test_token_frequencies_follow_the_tempered_and_cut_distribution(cut: dict, kept: list[int]) -> None:
    # At temperature 1.5 these have probabilities 0.60, 0.22, 0.12, 0.05, 0.01; of the first three alone the first two
    # make up 0.87.
    probabilities = torch.tensor([0.60, 0.22, 0.12, 0.05, 0.01])
    logits = probabilities.log() * 1.5
    settings = replace(SETTINGS, temperature=1.5, **({"top_k": 3, "top_p": 0.87} if len(cut) == 2 else cut))
    expected = torch.zeros(5)
    expected[kept] = probabilities[kept] / probabilities[kept].sum()
    draws = torch.from_numpy(uniforms(0, 0, "p", 0, 40_000)).float()
    drawn = draw_tokens(logits.expand(40_000, 5), draws, settings, None)
    seen = np.bincount(drawn.tokens.numpy(), minlength=5) / 40_000
    assert np.abs(seen - expected.numpy()).max() < 0.01
    torch.testing.assert_close(drawn.logprobs, expected.log()[drawn.tokens])
    torch.testing.assert_close(drawn.untempered_logprobs, torch.log_softmax(logits, -1)[drawn.tokens])


def test_tiles_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, draws, forced = torch.randn(7, 30), torch.rand(7), torch.tensor([-1, 3, -1, -1, 5, -1, -1])
    settings = SamplingSettings(1, 1, temperature=0.8, seed=0, step=0, top_k=5)
    whole = draw_tokens(logits, draws, settings, forced)
    monkeypatch.setattr("thinkwright.rollout.sampling.TILE_ELEMENTS", 60)
    assert all(map(torch.equal, vars(draw_tokens(logits, draws, settings, forced)).values(), vars(whole).values()))


def test_the_extreme_uniforms_never_draw_an_impossible_token() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    plain = replace(SETTINGS, temperature=1.0)
    lowest = draw_tokens(logits, torch.tensor([0.0]), plain, None)
    highest = draw_tokens(logits, torch.tensor([1 - 2**-24]), plain, None)
    assert (lowest.tokens.item(), highest.tokens.item()) == (1, 3)


def test_the_first_uniforms_do_not_depend_on_how_many_are_drawn() -> None:
    np.testing.assert_array_equal(uniforms(1, 2, "p", 3, 10), uniforms(1, 2, "p", 3, 99)[:10])


@ONE_KIND
def test_a_prompt_too_long_for_the_context_is_refused_with_the_numbers(policy: Policy) -> None:
    with pytest.raises(ModelError, match=r"prompt long has 1000 tokens; with 70 response tokens that is 1070.*1024"):
        NativeEngine(policy).generate([RolloutRequest("long", (5,) * 1000)], SETTINGS)


@ONE_KIND
def test_a_call_that_does_not_fit_the_memory_is_refused_with_what_would(policy: Policy) -> None:
    token_bytes = key_value_bytes(policy)
    # A prompt, eight pages (the pool comes in eights) and the one where fillers write; then one byte less.
    budget = (30 + 9 * 32) * token_bytes
    NativeEngine(policy, memory_bytes=budget).check(REQUESTS, replace(SETTINGS, max_tokens=256))
    with pytest.raises(ModelError, match=r"has 0.* MiB; shorten the prompts, or raise rollout.memory_gb"):
        NativeEngine(policy, memory_bytes=budget - 1).check(REQUESTS, replace(SETTINGS, max_tokens=256))
    with pytest.raises(ModelError, match=r"of 300 tokens.*lower rollout.max_response_tokens to 256, or raise"):
        NativeEngine(policy, memory_bytes=budget).check(REQUESTS, replace(SETTINGS, max_tokens=300))
    groups = NativeEngine(policy, memory_bytes=budget).generate(REQUESTS, SETTINGS)
    assert tokens_of(groups) == tokens_of(NativeEngine(policy).generate(REQUESTS, SETTINGS))


@pytest.mark.parametrize("wrong", [{"top_p": 0.0}, {"min_p": 2.0}, {"temperature": 0.0}, {"stop": ("",)}])
def test_settings_that_cannot_be_sampled_from_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"sampling needs {next(iter(wrong))}"):
        replace(SETTINGS, **wrong)


@ONE_KIND
def test_a_forced_start_that_fills_the_completion_is_refused(policy: Policy) -> None:
    request = replace(REQUESTS[0], forced_start=(1,) * 70)
    with pytest.raises(ModelError, match="prompt a: the 70 tokens its completions begin with leave no room within 70"):
        NativeEngine(policy).generate([request], SETTINGS)


def tokens_of(groups: list[tuple[Rollout, ...]]) -> list[list[tuple[int, ...]]]:
    return [[rollout.token_ids for rollout in group] for group in groups]
