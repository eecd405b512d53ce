"""PPO's critic: what it learns, what it makes of rewards, and that a run with one is resumed as it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training_groups import training_group, with_members
from thinkwright.cli import main
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.critic import Critic as Settings
from thinkwright.config.recipe import Optimizer
from thinkwright.models.policy import load_policy
from thinkwright.run_folder import read_rollouts
from thinkwright.training.critic import Critic
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater
from thinkwright.types import TrainingGroup

pytestmark = pytest.mark.usefixtures("few_held_out")
CPU = torch.device("cpu")
GROUPS = [
    training_group((5, 9, 301), ((1, 2, 3, 4), (9, 8)), ((-3.0,) * 4, (-2.0, -6.0)), (1.0, 0.0)),
    training_group((3, 200), ((7,), (10, 11, 12)), ((-5.0,), (-3.0, -3.5, -4.5)), (0.0, 1.0)),
    training_group(
        (3, 4, 5, 6), ((7, 7), (10, 11)), ((-5.0, -4.0), (-3.0, -3.5)), (1.0, 9.0), is_counted=(True, False)
    ),
]


def critic_of(folder: Path, micro_batch_tokens: int = 4096, **settings: Any) -> Critic:
    policy = load_policy(str(folder), device=CPU, dtype=torch.float32)
    optimizer = Optimizer(micro_batch_tokens=micro_batch_tokens)
    return Critic(policy, Settings.model_validate({"lr": 1e-3} | settings), optimizer, seed=0)


def test_it_learns_what_reward_a_completion_comes_to(model_folder: Callable[[str], Path]) -> None:
    critic = critic_of(model_folder("qwen2"))
    _, before = critic.judged(GROUPS)
    losses = [critic.update(GROUPS, 1.0)["critic/loss"] for _ in range(60)]
    groups, after = critic.judged(GROUPS)
    assert before["critic/explained_variance"] < 0.1
    assert losses[-1] < 0.2 * losses[0]
    assert after["critic/explained_variance"] > 0.5
    assert groups[2].members[1].advantages == (0.0, 0.0)  # not counted


def test_where_all_rewards_are_alike_nothing_is_told_of_what_it_foretells(model_folder: Callable[[str], Path]) -> None:
    alike = [with_members(group, reward=(1.0,) * len(group.members)) for group in GROUPS]
    groups, told = critic_of(model_folder("qwen2")).judged(alike)
    assert told == {}
    assert any(any(member.advantages) for member in groups[0].members)


def test_given_tokens_are_no_part_of_the_step_that_advantages_are_whitened_over(
    model_folder: Callable[[str], Path],
) -> None:
    given = [with_members(GROUPS[0], is_drawn=((True, True, False, False), (True, True))), *GROUPS[1:]]
    groups, _ = critic_of(model_folder("qwen2")).judged(given)
    rows = [member.advantages for group in groups for member in group.members]
    assert rows[0][2:] == (0.0, 0.0)
    assert sum(value for row in rows for value in row) == pytest.approx(0, abs=1e-4)


def test_advantages_do_not_depend_on_the_micro_batch_and_average_to_nothing(
    model_folder: Callable[[str], Path],
) -> None:
    whole, _ = critic_of(model_folder("qwen2")).judged(GROUPS)
    cut, _ = critic_of(model_folder("qwen2"), micro_batch_tokens=1).judged(GROUPS)
    rows = [member.advantages for group in whole for member in group.members]
    others = [member.advantages for group in cut for member in group.members]
    assert [value for row in rows for value in row] == pytest.approx([v for row in others for v in row], abs=1e-4)
    assert [len(row) for row in rows] == [4, 2, 1, 3, 2, 2]
    assert sum(value for row in rows for value in row) == pytest.approx(0, abs=1e-4)


def test_the_update_reads_each_tokens_own_advantage(model_folder: Callable[[str], Path]) -> None:
    def gradient(groups: list[TrainingGroup], micro: int) -> dict[str, torch.Tensor]:
        policy = load_policy(str(model_folder("qwen2")), device=CPU, dtype=torch.float32)
        optimizer = MasterOptimizer(policy.model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
        updater = Updater(policy, None, optimizer, Algorithm(kl_coef=0.0), 1.0, micro, max_tokens=64)
        seen: dict[str, torch.Tensor] = {}
        optimizer.step = lambda *_: seen.update({n: m.grad.clone() for n, m in optimizer.masters.items()})  # type: ignore[method-assign]
        updater.update(groups, lr=1e-3, max_grad_norm=1e9)
        return seen

    split = [with_members(GROUPS[0], advantages=((1.0, -1.0, 1.0, -1.0), (0.5, 0.0))), *GROUPS[1:]]
    plain, other, cut = (gradient(g, n) for g, n in ((GROUPS, 999), (split, 999), (split, 1)))
    assert any(not torch.allclose(plain[name], other[name]) for name in plain)
    for name, found in other.items():
        torch.testing.assert_close(cut[name], found, atol=1e-5, rtol=1e-4, msg=name)


def test_a_run_with_a_critic_learns_alone_first_and_is_resumed_as_it_was(tmp_path: Path) -> None:
    small = ["rollout.prompts_per_step=8", "rollout.group_size=4", "gate=default", "optimizer.decay=constant"]
    small += ["optimizer.warmup_steps=0", "evaluation.samples_per_question=1", "algorithm.advantage=gae"]
    small += ["critic.lr=1e-4", "critic.pretrain_steps=1", "checkpoint_steps=2", "machine.threads=1"]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert main(["run", "tiny/r1-zero", *small, "steps=3", "--out", str(whole)]) == 0
    rows = metrics(whole)
    assert [row["optim/lr"] for row in rows] == [0.0, 2e-4, 2e-4]
    assert all(row["rollout/skipped_groups"] == 0 for row in rows)
    assert all({"critic/loss", "critic/grad_norm", "critic/explained_variance"} <= row.keys() for row in rows)
    first, later = (read_rollouts(whole / "rollouts" / f"step_00000{i}.jsonl.zst") for i in (0, 1))
    assert all(member["advantage"] is not None for group in [*first, *later] for member in group["members"])
    assert rows[0]["policy/version"] == 2

    shutil.copytree(whole, parted)
    forget_after(parted, 2)
    assert main(["run", "tiny/r1-zero", *small, "steps=3", "--out", str(parted), "--resume"]) == 0
    assert [without_times(row) for row in metrics(parted)] == [without_times(row) for row in rows]


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if "time/" not in name and "per_second" not in name}


def forget_after(folder: Path, step: int) -> None:
    """As if the run had been killed after the checkpoint of that step."""
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / "model")
    for path in (folder / "checkpoints").glob("step_*"):
        if int(path.name.removeprefix("step_")) > step:
            shutil.rmtree(path)
