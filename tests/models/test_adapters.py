"""Low-rank adapters: what is trained, what the merged policy computes, and a reference that shares the weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training_groups import training_group
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.lora import LoRASettings
from thinkwright.distributed.sharding import copy_weights
from thinkwright.models.adapters import (
    adapter_tensors,
    reference_of_adapters,
    whole_adapters,
    with_adapters,
    write_adapter,
)
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.token_tree import pack_rows
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater

SETTINGS = LoRASettings(rank=4, alpha=8)
IDS = (5, 9, 44, 301, 12, 80)
GROUP = training_group(
    prompt_ids=(5, 9, 44),
    completions=((7, 8, 9), (10, 11, 12, 13)),
    rollout_logprobs=((-6.0,) * 3, (-6.0,) * 4),
    advantages=(1.0, -1.0),
)


@torch.no_grad()
def hidden(policy: Policy) -> Tensor:
    tree = pack_rows([IDS], first_position=0)
    return policy.packed_hidden_states(tree, PackedContext(tree, policy.device))


def small(model_folder: Callable[[str], Path], kind: str = "qwen2") -> Policy:
    return load_policy(str(model_folder(kind)), device=torch.device("cpu"), dtype=torch.float32)


def train(learner: Policy, reference: Policy | None, steps: int = 3) -> list[dict[str, float]]:
    optimizer = MasterOptimizer(learner.model, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    updater = Updater(learner, reference, optimizer, Algorithm(kl_coef=0.1), 1.0, 4096, max_tokens=64)
    return [updater.update([GROUP], 1e-2, 1.0) for _ in range(steps)]


def test_adapters_begin_as_nothing_and_alone_are_trained(policy: Policy) -> None:
    before = {name: param.clone() for name, param in policy.model.named_parameters()}
    learner = with_adapters(policy, SETTINGS, seed=1)
    assert torch.equal(hidden(learner), hidden(policy))
    trained = [name for name, param in learner.model.named_parameters() if param.requires_grad]
    assert trained == list(adapter_tensors(learner.model))
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trained} >= {"q_proj", "o_proj", "down_proj"}
    train(learner, None)
    assert all(torch.equal(param, before[name]) for name, param in policy.model.named_parameters())


def test_the_merged_policy_computes_what_the_learner_does(policy: Policy) -> None:
    learner = with_adapters(policy, SETTINGS, seed=1)
    start = hidden(policy)
    for _ in range(2):
        train(learner, None)
        copy_weights(learner, policy)
        torch.testing.assert_close(hidden(policy), hidden(learner), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(hidden(policy), start, atol=1e-3)


def test_a_reference_of_adapters_is_the_policy_as_it_was(model_folder: Callable[[str], Path]) -> None:
    learners = [with_adapters(small(model_folder), SETTINGS, seed=1) for _ in range(2)]
    references = [reference_of_adapters(learners[0]), small(model_folder)]
    first, second = (train(learner, reference) for learner, reference in zip(learners, references, strict=True))
    for ours, theirs in zip(first, second, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    assert first[-1]["policy/kl"] > 1e-4
    renewed = references[0]
    before = hidden(learners[0])
    renewed.renew()  # type: ignore[attr-defined]
    tree = pack_rows([IDS], first_position=0)
    train(learners[0], None)
    found = renewed.in_one_pass(lambda: renewed.packed_hidden_states(tree, PackedContext(tree, renewed.device)))
    assert torch.equal(found, before)
    assert not torch.equal(hidden(learners[0]), before)


def test_peft_loads_what_was_written(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    learner = with_adapters(small(model_folder), SETTINGS, seed=1)
    train(learner, None)
    write_adapter(learner, whole_adapters(learner), tmp_path / "adapter", str(model_folder("qwen2")))
    base = AutoModelForCausalLM.from_pretrained(str(model_folder("qwen2")), dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    with torch.no_grad():
        states = loaded(torch.tensor([IDS]), output_hidden_states=True).hidden_states[-1][0]
    torch.testing.assert_close(states, hidden(learner), atol=1e-5, rtol=1e-5)
