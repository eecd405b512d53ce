"""What a recipe of supervised fine-tuning may say."""

import json
from pathlib import Path
from typing import Any

import pytest

from thinkwright.config.load import load_recipe, resolved_json
from thinkwright.config.sft import SFTRecipe
from thinkwright.errors import RecipeError

MINIMAL = 'type = "sft"\nmodel = "tiny-base"\ndata = ["rows.jsonl"]\n'
TASK = '[task]\ntype = "tiny_world"\n'


def recipe_file(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return str(folder / "mine.toml")


def refusal(path: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def test_the_defaults_are_those_of_r1(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, MINIMAL))
    assert isinstance(recipe, SFTRecipe)
    assert (recipe.template, recipe.epochs, recipe.batch_size) == ("think_summary", 2, 128)
    assert (recipe.max_tokens, recipe.lr, recipe.final_lr_share) == (32768, 5e-5, 0.1)


def test_a_task_and_lists_are_read_and_written(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, MINIMAL + TASK + "[evaluation]\nsamples_per_question = 1\n")
    recipe = load_recipe(path, ["betas=[0.8, 0.9]", 'data=["a.jsonl", "b.jsonl.gz"]'])
    assert isinstance(recipe, SFTRecipe)
    assert (recipe.betas, recipe.data) == ((0.8, 0.9), ("a.jsonl", "b.jsonl.gz"))
    written: dict[str, Any] = json.loads(resolved_json(recipe))
    assert (written["type"], written["task"]["type"], written["betas"]) == ("sft", "tiny_world", [0.8, 0.9])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data=[]"], "data: needs at least 1 entry"),
        (["data=rows.jsonl"], "data: expected a list, got 'rows.jsonl'; write [\"rows.jsonl\"]"),
        (['data=["a", "b", "a"]'], "data: a stands twice; name it once, and raise epochs"),
        (["betas=[0.9, 1.0]"], "betas[1]: must be less than 1"),
        (["held_out_share=1"], "held_out_share: must be less than 1"),
        (["optimizer.lr=1"], "optimizer: unknown key"),
        (["optimiser.lr=1"], "optimiser: unknown key"),
        (["templat=boxed"], "templat: unknown key; did you mean template?"),
        (["evaluation.temperature=0.5"], "evaluation.temperature: no effect without task"),
        (["held_out_share=0", "evaluation.every_steps=3"], "evaluation.every_steps: no effect without task and with"),
    ],
)
def test_a_wrong_or_idle_key_is_told_with_what_to_do(overrides: list[str], words: str, tmp_path: Path) -> None:
    assert words in refusal(recipe_file(tmp_path, MINIMAL), *overrides)
