"""R1 on real data: both large pipelines pass the doctor and run every stage for two steps on random weights.

Refiner and judge are a real server on this machine; of the data sets some rows of every file are read.
"""

import gzip
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
        "algorithm.mini_batches=2",
        "optimizer.warmup_steps=0",
        "optimizer.recompute_activations=false",
        "evaluation.samples_per_question=1",
    ),
    "rejection_sample": (
        "steps=2",
        "rollout.prompts_per_step=4",
        "rollout.group_size=2",
        "rollout.max_response_tokens=24",
    ),
    "sft": ("epochs=2", "batch_size=10000", "max_tokens=2048", "evaluation.max_response_tokens=24"),
    "reward_model": ("epochs=2", "batch_size=10000", "max_tokens=2048"),
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
ROWS = {"cold-start": "known:r1_math", "fine-tuning": "known:identity", "student": "known:identity"}
"""In place of sampled rows, of which a random model writes none."""
SETS = (
    "amc23", "cmath", "gpteacher_roleplay", "gsm8k", "hh_rlhf_harmless", "identity", "knights_and_knaves",
    "marco_o1_cot",
    "math", "mbpp", "mgsm", "nq_open", "oasst_en_100_trees", "pandalm_pairs", "r1_math_samples", "s1k_sample",
    "self_instruct", "short_instructions", "star1_r1_safety_cot",
)  # fmt: skip
NUM_ROWS = 60


@pytest.fixture(scope="module")
def some_rows(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets with some dozen rows of each file, spread over it."""
    folder = tmp_path_factory.mktemp("data")
    for path in [path for name in SETS for path in (data_folder / name).rglob("*.jsonl*")]:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines(keepends=True)
        kept = b"".join(lines[:: max(1, len(lines) // NUM_ROWS)])
        out = folder / path.relative_to(data_folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(gzip.compress(kept) if path.suffix == ".gz" else kept)
    return folder


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
            keys.append(f'data=["{ROWS[stage.name]}"]')
        if kind == "rl" and "general" in stage.table:
            keys.append("general.first_step=1")
        keys += [f"{part}.url={url}" for part in ("judge", "refiner") if part in stage.table]
        found += [f"{stage.name}.{key}" for key in keys]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2.5-1.5b/r1", "r1_paper/r1"])
def test_every_stage_runs_two_steps(
    name: str, served: str, base: Path, some_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(some_rows))
    pipeline = load_pipeline(name, small(name, served, base))
    assert pipeline is not None
    without_gates = replace(pipeline, stages=tuple(replace(stage, gates=()) for stage in pipeline.stages))
    summary = run_pipeline(without_gates, tmp_path / "run", Extent(None, None), ["test"], print)
    assert {stage["status"] for stage in summary["stages"].values()} == {"finished"}
    for stage in pipeline.stages:
        if stage.table["type"] != "evaluate":
            [folder] = (tmp_path / "run" / "stages").glob(f"[0-9][0-9]-{stage.name}")
            assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2, stage.name
