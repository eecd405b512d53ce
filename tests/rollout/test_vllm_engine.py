"""Real vLLM servers (CPU build): what they draw, the weights they are given, and their death."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from tests.model_folders import write_model_folder
from thinkwright.config.lora import LoRASettings
from thinkwright.config.recipe import TrainingRollout
from thinkwright.config.vllm import VLLMSettings
from thinkwright.distributed.ranks import SINGLE
from thinkwright.distributed.sharding import copy_weights
from thinkwright.models.adapters import adapter_tensors, with_adapters
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.token_tree import pack
from thinkwright.rollout.choice import open_engine
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.vllm.engine import VLLMEngine
from thinkwright.training.update import policy_logprobs
from thinkwright.types import Rollout

ENVIRONMENTS = (".venv-vllm", ".venv-bench-vllm")
REPOSITORY = Path(__file__).parents[2]
FOUND = [REPOSITORY / name for name in ENVIRONMENTS if (REPOSITORY / name / "bin" / "python").exists()]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOUND, reason="no vLLM here: thinkwright install-vllm"),
]
SETTINGS = SamplingSettings(group_size=4, max_tokens=12, temperature=1.0, seed=0, step=0)
REQUESTS = [RolloutRequest(f"p{i}", tuple(range(5 + i, 40 + i))) for i in range(6)]


@pytest.fixture(scope="module")
def policy_here(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    # vLLM's attention on a CPU has kernels for heads of 64 and more.
    folder = tmp_path_factory.mktemp("model")
    write_model_folder(
        folder, "qwen2", hidden_size=128, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True
    )
    return load_policy(str(folder), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def engine(policy_here: Policy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMEngine]:
    settings = TrainingRollout(vllm=VLLMSettings(environment=str(FOUND[0]), slots=32, cache_gb=1.0))
    with open_engine(settings, policy_here, "", tmp_path_factory.mktemp("run"), SINGLE) as engine:
        assert isinstance(engine, VLLMEngine)
        engine.take_weights(0)
        yield engine


def largest_gap(policy: Policy, groups: list[tuple[Rollout, ...]]) -> float:
    """Between the servers' log-probabilities and the trainer's."""
    gaps: list[float] = []
    for request, group in zip(REQUESTS, groups, strict=True):
        tree = pack([(request.prompt_ids, [rollout.token_ids for rollout in group])])
        tokens = torch.tensor([token for rollout in group for token in rollout.token_ids])
        told = torch.tensor([logprob for rollout in group for logprob in rollout.logprobs])
        with torch.no_grad():
            gaps.append(float((policy_logprobs(policy, tree, tokens, 1.0)[0] - told).abs().max()))
    return max(gaps)


def check_groups(groups: list[tuple[Rollout, ...]], version: int) -> None:
    assert len(groups) == len(REQUESTS)
    for group in groups:
        assert len(group) == SETTINGS.group_size
        assert {rollout.policy_version for rollout in group} == {version}
        assert all(len(r.token_ids) == SETTINGS.max_tokens or r.finish_reason == "stop" for r in group)


def test_servers_draw_from_the_policy_and_from_its_new_weights(policy_here: Policy, engine: VLLMEngine) -> None:
    groups = engine.generate(REQUESTS, SETTINGS)
    check_groups(groups, 0)
    assert largest_gap(policy_here, groups) < 1e-3
    with torch.no_grad():
        for param in policy_here.model.parameters():
            param.mul_(0.8)
    engine.take_weights(5)
    newer = engine.generate(REQUESTS, SETTINGS)
    check_groups(newer, 5)
    assert largest_gap(policy_here, newer) < 1e-3
    assert largest_gap(policy_here, groups) > 0.1  # the old weights' completions are told apart


def test_a_killed_server_is_started_again_and_nothing_is_lost(policy_here: Policy, engine: VLLMEngine) -> None:
    engine.take_weights(6)
    server = engine._servers[0]
    assert server._process is not None
    victim, found = psutil.Process(server._process.pid), {}
    for index, group in engine.stream(REQUESTS, SETTINGS):
        found[index] = group
        if len(found) == 1 and victim.is_running():
            for process in [*victim.children(recursive=True), victim]:
                process.kill()
    check_groups([found[index] for index in range(len(REQUESTS))], 6)
    engine.take_weights(7)
    for process in [*psutil.Process(server._process.pid).children(recursive=True), psutil.Process(server._process.pid)]:
        process.kill()
    groups = engine.generate(REQUESTS, SETTINGS)
    check_groups(groups, 7)
    assert largest_gap(policy_here, groups) < 1e-3
    assert all(math.isfinite(logprob) for group in groups for rollout in group for logprob in rollout.logprobs)


def test_adapters_are_taken_alone_and_completions_end_by_those_they_began_with(tmp_path: Path) -> None:
    folder = write_model_folder(
        tmp_path / "model", "qwen2", hidden_size=128, num_attention_heads=2, num_key_value_heads=1, vocab_size=512
    )
    policy = load_policy(str(folder), device=torch.device("cpu"), dtype=torch.float32)
    lora = LoRASettings(rank=4, alpha=8)
    learner = with_adapters(policy, lora, seed=0)
    settings = TrainingRollout(vllm=VLLMSettings(environment=str(FOUND[0]), slots=32, cache_gb=1.0))
    with open_engine(settings, policy, str(folder), tmp_path / "run", SINGLE, lora) as engine:
        engine.use_adapters(learner, str(folder))
        engine.take_weights(0)
        first = engine.generate(REQUESTS, SETTINGS)
        check_groups(first, 0)
        assert largest_gap(policy, first) < 1e-3
        with torch.no_grad():
            for param in adapter_tensors(learner.model).values():
                param.add_(0.2 * torch.randn_like(param))
        copy_weights(learner, policy)
        engine.take_weights(3)
        newer = engine.generate(REQUESTS, SETTINGS)
        check_groups(newer, 3)
        assert largest_gap(policy, newer) < 1e-3
        assert largest_gap(policy, first) > 0.1


def test_weights_that_come_on_the_way_are_told_by_token(policy_here: Policy, engine: VLLMEngine) -> None:
    long = SamplingSettings(group_size=4, max_tokens=200, temperature=1.0, seed=0, step=0, ignore_end=True)
    engine.take_weights(20)
    threading.Timer(0.7, _change, args=(policy_here, engine)).start()
    rollouts = [rollout for group in engine.generate(REQUESTS, long) for rollout in group]
    continued = [rollout for rollout in rollouts if rollout.version_changes]
    assert continued
    for rollout in continued:
        ((index, version),) = rollout.version_changes
        assert (rollout.policy_version, version) == (20, 21)
        assert 0 < index < len(rollout.token_ids)


def _change(policy: Policy, engine: VLLMEngine) -> None:
    with torch.no_grad():
        for param in policy.model.parameters():
            param.mul_(0.9)
    engine.take_weights(21)
