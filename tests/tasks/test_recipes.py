"""The shipped recipes on real tasks: each starts, passes the doctor, and runs two steps on a random-weight model."""

import json
import shutil
from pathlib import Path

import pytest

from tests.model_folders import write_model_folder
from tests.tasks.made_sets import write_data_folder
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.config.tasks import NamedTask
from thinkwright.pipeline.run import run_recipe
from thinkwright.run_folder import read_rollouts

# Room for the longest reference answer of the made rows, in tokens of a small vocabulary.
RESPONSE_TOKENS = {"countdown": 96, "gsm8k": 64, "knights": 256, "mbpp": 128}
SMALL = (
    "steps=2",
    "machine.device=cpu",
    "machine.dtype=float32",
    "machine.threads=2",
    "rollout.prompts_per_step=2",
    "rollout.group_size=2",
    "evaluation.samples_per_question=1",
    "evaluation.every_steps=2",
    "task.max_held_out=4",
)


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data folder."""
    return write_data_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, and a context as long as its small vocabulary makes the questions."""
    return write_model_folder(tmp_path_factory.mktemp("long"), "qwen2", max_position_embeddings=4096)


@pytest.mark.parametrize("name", sorted(RESPONSE_TOKENS))
def test_a_recipe_passes_the_doctor_and_runs_two_steps(
    name: str, made_folder: Path, long_model: Path, tmp_path: Path
) -> None:
    if name == "mbpp" and shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap to run programs in")
    overrides = [
        *SMALL,
        f"model={long_model}",
        f"task.data={made_folder}",
        f"rollout.max_response_tokens={RESPONSE_TOKENS[name]}",
    ]
    recipe = load_recipe(f"{name}/r1-zero", overrides)
    assert isinstance(recipe, RLRecipe)
    summary = run_recipe(recipe, tmp_path / "run", resume=False, argv=["test"])
    assert (summary["status"], summary["steps"]) == ("finished", 2)
    data = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))
    assert data["training"]["used"] == data["training"]["rows"] > 0
    assert data["held_out"]["used"] == 4
    doctor = json.loads((tmp_path / "run" / "doctor.json").read_text(encoding="utf-8"))
    assert not [check for check in doctor["checks"] if check["status"] == "failed"]
    assert not doctor["bad_rows"]
    groups = read_rollouts(tmp_path / "run" / "rollouts" / "step_000001.jsonl.zst")
    assert [len(group["members"]) for group in groups] == [2] * 2
    assert all("accuracy" in member["scores"] for group in groups for member in group["members"])


@pytest.mark.parametrize("name", sorted(RESPONSE_TOKENS))
def test_a_recipe_needs_no_override_to_be_valid_and_names_a_model_of_the_hub(name: str) -> None:
    recipe = load_recipe(f"{name}/r1-zero")
    assert isinstance(recipe, RLRecipe)
    assert isinstance(recipe.task, NamedTask)
    assert recipe.model.startswith("Qwen/Qwen2.5-")
    assert recipe.task.data is None
