"""Every metric that a run writes has its place in the table, and no two share a name."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.preference_files import make_pairs, write_pairs
from tests.training.sft_files import make_rows, write_rows
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.distill import DistillRecipe
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import ModelShape, PretrainRecipe, RLRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.config.sft import SFTRecipe
from thinkwright.display import Display
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.reward_model import Reading, start_reward_model
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import append_jsonl
from thinkwright.tasks.prompts import load_task
from thinkwright.training.distill import DistillTrainer
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.mirrors.follower import GrowingFile
from thinkwright.training.mirrors.names import KEPT, NAMES, REWARD, field_figures, field_metrics, field_name
from thinkwright.training.preference_data import load_preference_data
from thinkwright.training.pretrain import PretrainTrainer, starting_policy
from thinkwright.training.reward_model import RewardModelTrainer
from thinkwright.training.rl import RLTrainer
from thinkwright.training.sft import SFTTrainer
from thinkwright.training.sft_data import load_sft_data
from thinkwright.training.teacher import LocalTeacher
from thinkwright.types import Metrics

CPU = torch.device("cpu")
SHORT = {"prompts_per_step": 2, "group_size": 2, "max_response_tokens": 8}


@pytest.fixture
def fresh(model_folder: Callable[[str], Path]) -> Callable[[], Policy]:
    return lambda: load_policy(str(model_folder("qwen2")), device=CPU, dtype=torch.float32)


def rl_step(folder: Path, pool: WorkerPool) -> Metrics:
    sizes = ["steps=1", "rollout.prompts_per_step=8", "rollout.group_size=4", "task.families=['ordering', 'facts']"]
    recipe = load_recipe("tiny/r1-zero", [*sizes, "rewards.language=0.1"])
    assert isinstance(recipe, RLRecipe)
    policy = load_policy(resolve_model_name(recipe.model), device=CPU, dtype=torch.float32)
    engine = NativeEngine(policy)
    return RLTrainer(recipe, policy, load_task(recipe.task), pool, engine, folder, time.monotonic()).run_step(0)[0]


def sft_step(folder: Path, policy: Policy) -> Metrics:
    path = write_rows(folder / "rows.jsonl", make_rows(4))
    recipe = SFTRecipe(type="sft", model="m", data=(str(path),), held_out_share=0.0, lr=1e-3)
    data = load_sft_data(recipe.data, TEMPLATES["think_summary"], policy, max_tokens=1000, held_out_share=0.0)
    return SFTTrainer(recipe, policy, data, folder, time.monotonic()).run_step(0)


def distill_step(folder: Path, student: Policy, teacher: Policy) -> Metrics:
    said = {"type": "distill", "model": "m", "teacher": "t", "task": {"type": "tiny_world"}, "steps": 1}
    recipe = DistillRecipe.model_validate(said | {"rollout": SHORT})
    task = load_task(recipe.task, recipe.template)
    engine = NativeEngine(student)
    return DistillTrainer(recipe, student, LocalTeacher(teacher), task, engine, folder, time.monotonic()).run_step(0)


def reward_model_step(folder: Path, model: Path) -> Metrics:
    path = write_pairs(folder / "pairs.jsonl", make_pairs(20))
    said = {"type": "reward_model", "model": "m", "data": (str(path),), "reads": "summary", "loss": "pairwise"}
    recipe = RewardModelRecipe.model_validate(said | {"max_tokens": 1024, "held_out_share": 0.2})
    reading = Reading("think_summary", "summary", "pairwise")
    judge = start_reward_model(str(model), reading, device=CPU, dtype=torch.float32, seed=0)
    return RewardModelTrainer(recipe, judge, load_preference_data(recipe, judge), folder, time.monotonic()).run_step(0)


def pretrain_row(folder: Path, patch: pytest.MonkeyPatch) -> Metrics:
    patch.setattr("thinkwright.training.pretrain.TOKENIZER_DOCUMENTS", 2000)
    recipe = PretrainRecipe(type="pretrain", steps=1, documents_per_step=8, model=ModelShape(num_layers=1))
    policy = starting_policy(recipe, CPU, torch.float32)
    PretrainTrainer(recipe, policy, folder, time.monotonic(), lambda display: None).train(Display(), StopRequest())
    [row] = GrowingFile(folder / "metrics.jsonl").new_rows()
    assert row.pop("step") == 0
    return row


def test_every_metric_of_every_kind_has_its_place_and_a_name_of_its_own(
    fresh: Callable[[], Policy],
    model_folder: Callable[[str], Path],
    pool: WorkerPool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {
        "rl": rl_step(tmp_path, pool),
        "sft": sft_step(tmp_path, fresh()),
        "distill": distill_step(tmp_path, fresh(), fresh()),
        "reward_model": reward_model_step(tmp_path, model_folder("qwen2")),
        "pretrain": pretrain_row(tmp_path / "pretrain", monkeypatch),
    }
    kept, families = set(KEPT), tuple(name for name in KEPT if name.endswith("/"))
    for kind, row in rows.items():
        strange = {
            name for name in row if name not in NAMES and name not in kept and not name.startswith((*families, REWARD))
        }
        assert not strange, f"{kind}: say in mirror_names.py what {sorted(strange)} are called in the field"
        append_jsonl(tmp_path / f"{kind}.jsonl", {"step": 0, **row})
        [read] = GrowingFile(tmp_path / f"{kind}.jsonl").new_rows()
        sent = field_metrics(read)
        assert sorted(sent.values()) == sorted(row.values())
        assert len(sent) == len(row)
        assert {"train/grad_norm", "train/learning_rate", "train/loss", "train/step_time"} <= sent.keys()
    assert {"train/reward", "train/rewards/accuracy/mean", "train/kl", "train/entropy"} <= field_metrics(
        rows["rl"]
    ).keys()


def test_rewards_are_told_from_what_is_counted_beside_them() -> None:
    names = ("reward/total", "reward/accuracy", "reward/group_std", "reward/failed", "curriculum/active", "new/thing")
    assert [field_name(name) for name in names] == [
        "train/reward",
        "train/rewards/accuracy/mean",
        "train/reward_std",
        "reward/failed",
        "curriculum/active",
        "new/thing",
    ]


def test_figures_are_numbers_and_those_of_parts_of_them() -> None:
    figures = {"accuracy": 0.5, "truncated_rate": 0.25, "accuracy_by_level": {"1": 1.0}, "settings": {"seed": 0}}
    figures |= {"set_aside": {"failed": 2}, "set_aside_examples": [{"outcome": "failed"}], "calibration_bins": [1]}
    assert field_figures(figures | {"is_new": True}) == {
        "eval/accuracy": 0.5,
        "eval/completions/clipped_ratio": 0.25,
        "eval/accuracy_by_level/1": 1.0,
        "eval/set_aside/failed": 2,
    }
