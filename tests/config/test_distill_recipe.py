"""What a recipe of on-policy distillation may say."""

import json
from pathlib import Path

import pytest

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.load import load_recipe, resolved_json
from thinkwright.errors import RecipeError

MINIMAL = 'type = "distill"\nmodel = "tiny-base-small"\nsteps = 8\n[task]\ntype = "tiny_world"\n'
URL = "teacher_endpoint.url=http://127.0.0.1:8000/v1"
SERVED = [URL, "teacher_endpoint.name=large"]
PROMPTS = ["teacher=tiny-base", "task.type=prompts", 'task.data=["questions.jsonl"]']


def recipe_file(folder: Path) -> str:
    (folder / "mine.toml").write_text(MINIMAL, encoding="utf-8")
    return str(folder / "mine.toml")


def test_a_teacher_is_a_model_or_a_served_one(tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    local, served = load_recipe(path, ["teacher=tiny-base"]), load_recipe(path, SERVED)
    assert isinstance(local, DistillRecipe)
    assert isinstance(served, DistillRecipe)
    assert (local.teacher, local.teacher_endpoint, local.rollout.group_size) == ("tiny-base", None, 4)
    assert served.teacher is None
    assert served.teacher_endpoint is not None
    assert served.teacher_endpoint.name == "large"
    assert json.loads(resolved_json(served))["teacher_endpoint"]["url"] == "http://127.0.0.1:8000/v1"


def test_a_prompts_task_and_single_completions_will_do(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path), ["rollout.group_size=1", *PROMPTS, "task.families=default"])
    assert isinstance(recipe, DistillRecipe)
    assert (recipe.task.type, recipe.rollout.group_size) == ("prompts", 1)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "no teacher: name one with teacher (a folder or Hub name), or a served one with [teacher_endpoint]"),
        (["teacher=tiny-base", *SERVED], "teacher and teacher_endpoint are both given; keep the one to learn from"),
        ([URL], "teacher_endpoint.name: required and not given"),
        ([*SERVED, "teacher_endpoint.temperature=1"], "teacher_endpoint.temperature: no effect"),
        ([*SERVED, "teacher_endpoint.max_tokens=9"], "teacher_endpoint.max_tokens: no effect"),
        ([*PROMPTS, "workers=3"], "workers: no effect on a prompts task, which has no held-out answers"),
        ([*PROMPTS, "evaluation.every_steps=3"], "evaluation: no effect on a prompts task"),
        (["teacher=t", "mini_batches=5"], "rollout.prompts_per_step must be a multiple of mini_batches"),
        (["teacher=t", "warmup_steps=8"], "warmup_steps: 8 leaves nothing of the 8 steps; lower it"),
        (["teacher=t", "rollout.group_size=0"], "rollout.group_size: must be"),
        (["teacher=t", "kl_coef=1"], "kl_coef: unknown key"),
    ],
)
def test_a_wrong_or_idle_key_is_told_with_what_to_do(overrides: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file(tmp_path), overrides)
    assert words in str(caught.value)
