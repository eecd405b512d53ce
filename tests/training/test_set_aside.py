"""Rollouts that graders could not score are never zeros: out of baseline and loss, counted, listed, up to a limit."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from thinkwright.algorithms.advantages import group_std
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.errors import GraderError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import read_rollouts
from thinkwright.tasks.prompts import load_task
from thinkwright.training.groups import training_groups, with_advantages
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.rl import RLTrainer
from thinkwright.training.rollout_metrics import group_metrics
from thinkwright.types import Outcome, Prompt, Rollout, RolloutGroup, ScoredRollout

PROMPT = Prompt("p", "q", "t", "number", "1", "1", "r1_zero", "arithmetic", 1, "en")


def group(rewards: list[float], outcomes: list[Outcome]) -> RolloutGroup:
    rollout = Rollout((1, 2), (-1.0, -1.0), (-1.0, -1.0), (False, False), "", "stop", 0)
    members = tuple(
        ScoredRollout(rollout, {"accuracy": reward} if outcome == "graded" else {}, reward, outcome)
        for reward, outcome in zip(rewards, outcomes, strict=True)
    )
    return RolloutGroup(PROMPT, (1,), members)


def test_a_rollout_that_was_not_graded_changes_no_baseline_and_no_loss() -> None:
    [scored] = with_advantages([group([1.0, 0.0, 0.0], ["graded", "failed", "graded"])], Algorithm(), group_std)
    [learned] = training_groups([scored], Algorithm())
    assert [member.is_counted for member in learned.members] == [True, False, True]
    assert [member.advantages[0] for member in learned.members] == pytest.approx([1.0, 0.0, -1.0])
    assert [member.advantage for member in scored.members] == [pytest.approx(1.0), None, pytest.approx(-1.0)]


@pytest.mark.parametrize("outcomes", [["graded", "timeout"], ["skipped", "skipped"]])
def test_a_group_with_fewer_than_two_graded_members_is_skipped(outcomes: list[Outcome]) -> None:
    [scored] = with_advantages([group([1.0, 0.0], outcomes)], Algorithm(), group_std)
    assert training_groups([scored], Algorithm()) == []
    assert [member.advantage for member in scored.members] == [None, None]


def test_means_are_over_graded_rollouts_and_the_others_are_counted() -> None:
    groups = [group([1.0, 0.0], ["graded", "failed"]), group([0.0, 0.0], ["graded", "timeout"])]
    metrics = group_metrics(groups)
    assert (metrics["reward/accuracy"], metrics["reward/total"]) == (0.5, 0.5)
    assert [metrics[f"reward/{name}"] for name in ("failed", "timeouts", "skipped")] == [0.25, 0.25, 0.0]
    assert "reward/total" not in group_metrics([group([0.0], ["failed"])])


@pytest.fixture(scope="module")
def unsure() -> Iterator[WorkerPool]:
    with WorkerPool(1, "tests.rewards.poison:UNSURE") as pool:
        yield pool


def trainer(pool: WorkerPool, folder: Path, *overrides: str) -> RLTrainer:
    sizes = ["steps=1", "rollout.prompts_per_step=4", "rollout.group_size=4", "evaluation.samples_per_question=1"]
    recipe = load_recipe("tiny/r1-zero", [*sizes, "task.families=['ordering', 'facts']", *overrides])
    assert isinstance(recipe, RLRecipe)
    policy = load_policy(resolve_model_name(recipe.model), device=torch.device("cpu"), dtype=torch.float32)
    return RLTrainer(recipe, policy, load_task(recipe.task), pool, NativeEngine(policy), folder, time.monotonic())


def test_a_run_goes_on_below_the_limit_and_lists_what_it_set_aside(
    unsure: WorkerPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(unsure, tmp_path, "rewards.max_error_share=1.0").train(Display(), StopRequest())
    [row] = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert 0 < row["reward/failed"] < 1
    stored = read_rollouts(tmp_path / "rollouts" / "step_000000.jsonl.zst")
    failed = [m for group in stored for m in group["members"] if m["outcome"] == "failed"]
    assert len(failed) == row["reward/failed"] * 16
    assert all(member["advantage"] is None for member in failed)
    assert all("an odd answer" in member["detail"] and "accuracy" not in member["scores"] for member in failed)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    [event] = [event for event in events if event["event"] == "set_aside"]
    assert event["counts"] == {"failed": len(failed)}
    assert "an odd answer" in event["examples"][0]["detail"]
    figures = json.loads((tmp_path / "eval" / "step_000000.json").read_text())["figures"]
    assert figures["set_aside"]["failed"] > 0
    assert figures["num_samples"] == figures["settings"]["num_questions"] - figures["set_aside"]["failed"]
    assert "set aside" in capsys.readouterr().out


def test_a_run_stops_above_the_limit_before_it_learns(unsure: WorkerPool, tmp_path: Path) -> None:
    run = trainer(unsure, tmp_path)
    before = run.policy.head.clone()
    with pytest.raises(GraderError, match=r"(?s)of 16 rollouts could not be graded.*max_error_share.*an odd answer"):
        run.run_step(0)
    assert torch.equal(run.policy.head, before)
