"""R1 on real data: both large pipelines pass the doctor and run every stage for two steps on random weights.

Refiner and judge are a real server on this machine; of the data sets the real files are read.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.model_folders import write_model_folder
from tests.models.served import chat_reply, serving
from thinkwright.config.pipeline import load_pipeline
from thinkwright.pipeline.stages import Extent, run_pipeline

KINDS = {
    "rl": (
        "steps=2",
        "rollout.prompts_per_step=10",
        "rollout.group_size=2",
        "rollout.max_response_tokens=24",
        "algorithm.mini_batches=1",
        "optimizer.warmup_steps=0",
        "optimizer.recompute_activations=false",
        "evaluation.samples_per_question=1",
        "workers=1",
    ),
    "rejection_sample": (
        "steps=2",
        "rollout.prompts_per_step=4",
        "rollout.group_size=2",
        "rollout.max_response_tokens=24",
    ),
    "sft": ("epochs=1", "batch_size=64", "max_tokens=4096", "evaluation.max_response_tokens=24"),
    "reward_model": ("batch_size=64", "max_tokens=2048"),
    "distill": (
        "steps=2",
        "warmup_steps=0",
        "rollout.prompts_per_step=4",
        "rollout.group_size=2",
        "rollout.max_response_tokens=24",
        "evaluation.samples_per_question=1",
    ),
    "evaluate": ("max_response_tokens=24", "evaluation.samples_per_question=1"),
}
MODELS = {"zero", "cold-start", "fine-tuning", "student"}
"""Stages that start from a base, not from another stage."""
ROWS = {"fine-tuning", "student"}
"""Stages that learn from rows of which a random model writes none."""


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """A judge that finds everything correct, and a refiner with one rewriting for all."""

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        is_judge = "verdict" in json.dumps(body["messages"])
        return chat_reply(
            '{"analysis": "fine", "verdict": "correct"}' if is_judge else "<think>I add.</think> \\boxed{1}"
        )

    with serving(answer) as url:
        yield url


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with a context for real questions in a small vocabulary."""
    return write_model_folder(tmp_path_factory.mktemp("base"), "qwen2", max_position_embeddings=8192)


def small(name: str, url: str, base: Path) -> list[str]:
    """Overrides that keep the recipes' structure, and make each stage run two steps on a CPU."""
    pipeline = load_pipeline(name)
    assert pipeline is not None
    found: list[str] = []
    for stage in pipeline.stages:
        kind = stage.table["type"]
        keys = [*KINDS[kind], "machine.device=cpu", "machine.dtype=float32", "machine.threads=2"]
        if stage.name in MODELS:
            keys.append(f"model={base}")
        if stage.name in ROWS:
            keys.append(f"data={json.dumps([*stage.table['data'], 'known:identity'])}")
        if kind == "rl" and "general" in stage.table:
            keys.append("general.first_step=1")
        keys += [f"{part}.url={url}" for part in ("judge", "refiner") if part in stage.table]
        found += [f"{stage.name}.{key}" for key in keys]
    return found


@pytest.mark.parametrize("name", ["qwen2.5-1.5b/r1", "r1_paper/r1"])
def test_every_stage_runs_two_steps(
    name: str, served: str, base: Path, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(data_folder))
    pipeline = load_pipeline(name, small(name, served, base))
    assert pipeline is not None
    without_gates = replace(pipeline, stages=tuple(replace(stage, gates=()) for stage in pipeline.stages))
    summary = run_pipeline(without_gates, tmp_path / "run", Extent(None, None), ["test"], print)
    assert {stage["status"] for stage in summary["stages"].values()} == {"finished"}
    for stage in pipeline.stages:
        if stage.table["type"] != "evaluate":
            [folder] = (tmp_path / "run" / "stages").glob(f"[0-9][0-9]-{stage.name}")
            assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2, stage.name
