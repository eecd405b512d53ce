"""What a command's MODEL may be."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.pipeline.command_line import run
from thinkwright.errors import ModelError
from thinkwright.models.policy import load_policy
from thinkwright.pipeline.model_source import find_model, load_source
from thinkwright.training.checkpoint import load_checkpoint_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rl_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step of R1-Zero on the small base."""
    folder = tmp_path_factory.mktemp("runs") / "zero run"
    small = ["rollout.prompts_per_step=2", "rollout.group_size=2", "rollout.max_response_tokens=16", "gate=default"]
    overrides = ["model=tiny-base-small", "steps=1", "machine.dtype=float32", "machine.threads=1", *small]
    overrides += ["task.families=['facts']", "evaluation.samples_per_question=1"]
    run([sys.executable, "-m", "thinkwright", "run", "tiny/r1-zero", *overrides, "--out", str(folder)])
    return folder


def test_a_run_its_model_folder_and_a_pipeline_of_it_are_the_same_model(rl_run: Path, tmp_path: Path) -> None:
    found = find_model(str(rl_run))
    assert (found.name, found.template, found.run) == ("zero_run", "r1_zero", rl_run)
    assert find_model(str(rl_run / "model")).location == found.location
    pipeline = tmp_path / "pipe"
    shutil.copytree(rl_run, pipeline / "stages" / "02-zero")
    (pipeline / "pipeline.json").write_text("{}", encoding="utf-8")
    inside = find_model(str(pipeline))
    assert (inside.name, inside.template) == ("pipe-02-zero", "r1_zero")


def test_a_checkpoint_has_the_weights_of_its_step(rl_run: Path) -> None:
    source = find_model(str(rl_run / "checkpoints" / "step_000001"))
    assert source.name == "zero_run-step_000001"
    policy = load_source(source, device=CPU, dtype=torch.float32)
    trained = load_policy(str(rl_run / "model"), device=CPU, dtype=torch.float32)
    for (name, own), (_, other) in zip(policy.model.named_parameters(), trained.model.named_parameters(), strict=True):
        assert torch.equal(own, other), name
    base = load_checkpoint_weights(rl_run / "checkpoints" / "step_000001")
    assert base.keys() == dict(policy.model.named_parameters()).keys()


def test_what_is_no_model_is_said_with_what_would_be(rl_run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(rl_run / "recipe.json", unfinished)
    with pytest.raises(ModelError, match=r"has made no model yet; .* checkpoints"):
        find_model(str(unfinished))
    lonely = tmp_path / "step_000001"
    shutil.copytree(rl_run / "checkpoints" / "step_000001", lonely)
    with pytest.raises(ModelError, match="within its run folder"):
        find_model(str(lonely))
    moved = tmp_path / "moved"
    shutil.copytree(rl_run, moved)
    recipe = json.loads((moved / "recipe.json").read_text(encoding="utf-8"))
    (moved / "recipe.json").write_text(json.dumps(recipe | {"model": "tiny-base"}), encoding="utf-8")
    with pytest.raises(ModelError, match="its weights are not those of tiny-base"):
        load_source(find_model(str(moved / "checkpoints" / "step_000001")), device=CPU, dtype=torch.float32)


def test_names_are_fit_for_folders_and_hub_names_pass_through() -> None:
    assert find_model("owner/name").location == "owner/name"
    assert find_model("owner/name").name == "owner_name"
    served = find_model("http://127.0.0.1:8000/v1#qwen/one")
    assert served.name == "qwen_one"
    assert served.endpoint is not None
    assert served.endpoint.name == "qwen/one"
    with pytest.raises(ModelError, match="is no address"):
        find_model("http://a b/v1#m")
