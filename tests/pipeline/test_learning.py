"""A few steps on the shipped base already raise the reward, and the gate stops a base that has nothing to gain."""

import json
import time
from pathlib import Path
from statistics import fmean

import pytest
import torch

from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import Gate, RLRecipe
from thinkwright.display import Display
from thinkwright.errors import GateError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.gate import check_gate
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.native import NativeEngine
from thinkwright.tasks.prompts import load_task
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.rl import RLTrainer

pytestmark = pytest.mark.usefixtures("few_held_out")
QUICK = ["steps=8", "rollout.prompts_per_step=12", "rollout.group_size=8", "evaluation.every_steps=100"]


def trainer(pool: WorkerPool, folder: Path, *overrides: str) -> RLTrainer:
    recipe = load_recipe("tiny/r1-zero", [*QUICK, "task.families=['ordering', 'facts']", *overrides])
    assert isinstance(recipe, RLRecipe)
    policy = load_policy(resolve_model_name(recipe.model), device=torch.device("cpu"), dtype=torch.float32)
    return RLTrainer(recipe, policy, load_task(recipe.task), pool, NativeEngine(policy), folder, time.monotonic())


def test_eight_steps_raise_the_reward(pool: WorkerPool, tmp_path: Path) -> None:
    trainer(pool, tmp_path).train(Display(), StopRequest())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert fmean(r["reward/total"] for r in rows[-3:]) > fmean(r["reward/total"] for r in rows[:3]) + 0.15
    assert all(row["policy/logprob_gap"] < 1e-4 for row in rows)
    assert rows[-1]["policy/version"] == 16
    assert rows[0]["policy/kl"] < rows[-1]["policy/kl"]


def test_the_reference_policy_is_refreshed_when_the_recipe_says(pool: WorkerPool, tmp_path: Path) -> None:
    few = "rollout.prompts_per_step=6", "rollout.group_size=4"
    run = trainer(pool, tmp_path, "steps=3", "algorithm.reference_refresh_steps=2", *few)
    assert run.reference is not None
    start = run.reference.head.clone()
    run.train(Display(), StopRequest())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert not torch.equal(run.reference.head, start)
    assert not torch.equal(run.reference.head, run.policy.head)
    assert rows[2]["policy/kl"] < rows[1]["policy/kl"]


def test_learning_rate_warms_up_and_decays(pool: WorkerPool, tmp_path: Path) -> None:
    run = trainer(pool, tmp_path, "optimizer.lr=1.0", "optimizer.warmup_steps=1", "optimizer.decay=linear", "steps=4")
    assert [run.learning_rate(step) for step in range(4)] == [0.5, 0.75, 0.5, 0.25]


def test_the_gate_refuses_a_base_that_gains_nothing_from_thinking() -> None:
    gate = Gate(min_forced_minus_bare=0.2)
    passing = {"bare": {"accuracy": 0.3}, "forced": {"accuracy": 0.51}}
    failing = {"bare": {"accuracy": 0.3}, "forced": {"accuracy": 0.49}}
    assert "bare answer 30.0%, step by step 51.0%" in check_gate(gate, passing)
    with pytest.raises(GateError, match=r"30\.0%, step by step 49\.0%.*min_forced_minus_bare"):
        check_gate(gate, failing)
