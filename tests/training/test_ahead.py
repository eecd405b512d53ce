"""Rollouts by processes of their own: the same numbers in lockstep, a bounded staleness ahead of the update."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE
from thinkwright.errors import RecipeError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.choice import open_engine
from thinkwright.tasks.prompts import load_task
from thinkwright.training.ahead import staleness_metrics, token_versions
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.rl import RLTrainer
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

pytestmark = pytest.mark.usefixtures("few_held_out")
QUICK = [
    "steps=3",
    "evaluation.samples_per_question=1",
    "rollout.prompts_per_step=6",
    "rollout.group_size=4",
    "rollout.max_response_tokens=64",
    "evaluation.every_steps=100",
    "machine.threads=1",
    "task.families=['ordering', 'facts']",
    "gate=default",
]
ENGINES = "rollout.engines.count=1"
CLOCKS = ("time/", "rollout/tokens_per_second", "reward/answers_per_second", "update/tokens_per_second")


def rows_of(pool: WorkerPool, folder: Path, *overrides: str, resume: bool = False) -> list[dict[str, Any]]:
    """Train; what ``metrics.jsonl`` holds, without what clocks say."""
    recipe = load_recipe("tiny/r1-zero", [*QUICK, *overrides])
    assert isinstance(recipe, RLRecipe)
    torch.set_num_threads(1)
    model = resolve_model_name(recipe.model)
    policy = load_policy(model, device=torch.device("cpu"), dtype=torch.float32)
    task = load_task(recipe.task)
    with open_engine(recipe.rollout, policy, model, folder, SINGLE) as engine:
        trainer = RLTrainer(recipe, policy, task, pool, engine, folder, time.monotonic())
        if resume:
            trainer.resume(Display())
        trainer.train(Display(), StopRequest())
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(CLOCKS)} for row in rows]


def test_at_staleness_0_a_process_of_its_own_gives_the_numbers_of_the_trainers_own(
    pool: WorkerPool, tmp_path: Path
) -> None:
    assert rows_of(pool, tmp_path / "apart", ENGINES) == rows_of(pool, tmp_path / "here")
    held_out = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*/eval/step_000003.json"))]
    assert held_out[0] == held_out[1]


def test_staleness_is_bounded_told_and_corrected(pool: WorkerPool, tmp_path: Path) -> None:
    rows = rows_of(pool, tmp_path, ENGINES, "rollout.max_staleness=2", "steps=6", "checkpoint_steps=3")
    assert rows[0]["rollout/staleness_max"] == 0
    assert all(row["rollout/staleness_max"] <= 2 for row in rows)
    assert any(row["rollout/staleness"] > 0 for row in rows)
    assert all("policy/correction" in row and "policy/logprob_gap" not in row for row in rows)
    assert [row["policy/version"] for row in rows] == [2, 4, 6, 8, 10, 12]
    ids = [row["prompt"]["prompt_id"] for row in _stored_prompts(tmp_path)]
    assert len(ids) == len(set(ids)) == 6 * 6  # each step's own prompts, each once


def test_a_stopped_run_goes_on_with_the_steps_it_had_begun(pool: WorkerPool, tmp_path: Path) -> None:
    rows_of(pool, tmp_path, ENGINES, "rollout.max_staleness=2", "steps=3")
    rows = rows_of(pool, tmp_path, ENGINES, "rollout.max_staleness=2", "steps=5", resume=True)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[3]["rollout/staleness_max"] == 0
    ids = [row["prompt"]["prompt_id"] for row in _stored_prompts(tmp_path)]
    assert len(ids) == len(set(ids)) == 5 * 6


def _stored_prompts(folder: Path) -> list[dict[str, Any]]:
    from thinkwright.run_folder import read_rollouts

    return [row for path in sorted((folder / "rollouts").iterdir()) for row in read_rollouts(path)]


def rollout(version: int, *changes: tuple[int, int]) -> Rollout:
    return Rollout((1, 2, 3, 4), (-1.0,) * 4, (), (False,) * 4, "", "stop", version, changes)


def test_every_token_has_the_version_that_drew_it() -> None:
    assert token_versions(rollout(3)) == [3, 3, 3, 3]
    assert token_versions(rollout(3, (1, 5), (3, 9))) == [3, 5, 5, 9]
    prompt = Prompt("p", "", "", "", "", "", "", "", 0, "en")
    members = (ScoredRollout(rollout(3, (2, 5)), {}, 0.0), ScoredRollout(rollout(5), {}, 0.0))
    found = staleness_metrics([RolloutGroup(prompt, (), members)], {3: 1, 5: 2}, step=3)
    assert found == {"rollout/staleness": 10 / 8, "rollout/staleness_max": 2, "rollout/continued": 0.5}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["rollout.max_staleness=1"], "max_staleness has no effect"),
        ([ENGINES, "rollout.vllm.servers=1", "rollout.slots=default"], "one or the other samples"),
        ([ENGINES, "algorithm.correction=band"], "correction has no effect"),
        ([ENGINES, "rollout.max_staleness=1", "alarms.logprob_gap=0.5"], "logprob_gap has no effect"),
        ([ENGINES, "rollout.max_staleness=33"], "less than or equal to 32"),
    ],
)
def test_what_has_no_effect_is_refused(overrides: list[str], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe("tiny/r1-zero", overrides)
