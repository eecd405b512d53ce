"""Training spread over ranks: losses and weights are those of one rank, and a run goes on with another number."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed.rank_runs import run_kinds
from tests.model_folders import write_model_folder
from tests.training.preference_files import make_pairs, write_pairs
from tests.training.sft_files import make_rows, write_rows
from thinkwright.distributed.launch import run_ranks
from thinkwright.models.policy import load_policy
from thinkwright.pipeline.model_source import find_model, load_source

STEPS = 20
TOLERANCE = 1e-5
LOSSES = {"sft": "loss/nll", "rl": "loss/total", "reward_model": "loss/preference", "distill": "loss/reverse_kl"}
Tables = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """A small recipe of each kind: 20 steps, micro-batches of which not every rank gets as many."""
    folder = tmp_path_factory.mktemp("material")
    student = str(write_model_folder(folder / "student", "qwen2", tie_word_embeddings=True, initializer_range=0.05))
    teacher = str(write_model_folder(folder / "teacher", "llama", seed=1, initializer_range=0.05))
    rows = str(write_rows(folder / "rows.jsonl", make_rows(40)))
    pairs = str(write_pairs(folder / "pairs.jsonl", make_pairs(40)))
    sampled = {"prompts_per_step": 6, "group_size": 4, "max_response_tokens": 12}
    asked = write_rows(folder / "asked.jsonl", [{"question": f"{i} + {3 * i}?", "answer": 4 * i} for i in range(30)])
    held_out = write_rows(folder / "held_out.jsonl", [{"question": f"{i} - 7?", "answer": i - 7} for i in range(5)])
    task = {"type": "rows", "path": str(asked), "held_out_path": str(held_out)}
    common = {"lr": 1e-3, "checkpoint_steps": STEPS // 2, "micro_batch_tokens": 80}
    often = {"every_steps": 100, "samples_per_question": 1}
    return {
        "sft": {"type": "sft", "model": student, "data": [rows], "batch_size": 6, "epochs": 3, "max_tokens": 1024,
                "held_out_share": 0.1, "recompute_activations": True} | common,
        "reward_model": {"type": "reward_model", "model": student, "data": [pairs], "batch_size": 6, "epochs": 3,
                         "max_tokens": 1024, "reads": "summary", "loss": "pairwise", "held_out_share": 0.1} | common,
        "distill": {"type": "distill", "model": student, "teacher": teacher, "task": task, "steps": STEPS,
                    "rollout": sampled, "evaluation": often} | common,
        "rl": {"type": "rl", "model": student, "task": task, "steps": STEPS,
               "rewards": {"random": 1.0}, "rollout": sampled, "evaluation": often,
               "algorithm": {"kl_coef": 0.1, "reference_refresh_steps": 7}, "checkpoint_steps": STEPS // 2,
               "optimizer": {"lr": 1e-3, "micro_batch_tokens": 80}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def alone(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of one rank, in this process."""
    folder, threads = tmp_path_factory.mktemp("alone"), torch.get_num_threads()
    run_kinds(tables, folder, 1, False)
    torch.set_num_threads(threads)
    return folder


def losses(folder: Path, kind: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / kind / "metrics.jsonl").read_text().splitlines()]
    return [row[LOSSES[kind]] for row in rows]


def check_same(found: Path, wanted: Path, kinds: Tables, steps: int = STEPS) -> None:
    for kind in kinds:
        assert len(losses(found, kind)) >= steps - 2
        assert losses(found, kind) == pytest.approx(losses(wanted, kind), abs=TOLERANCE), kind
        ours, theirs = (load_file(folder / kind / "model" / "model.safetensors") for folder in (found, wanted))
        assert ours.keys() == theirs.keys()
        for name, weight in ours.items():
            torch.testing.assert_close(weight, theirs[name], atol=TOLERANCE, rtol=0, msg=f"{kind}: {name}")


def test_two_ranks_train_as_one(tables: Tables, tmp_path: Path) -> None:
    """RL, which has most to go wrong, for some steps; more of them, and the other kinds, are slow tests."""
    algorithm = {"kl_coef": 0.1, "reference_refresh_steps": 3}
    kinds, threads = {"rl": tables["rl"] | {"steps": 5, "algorithm": algorithm}}, torch.get_num_threads()
    run_kinds(kinds, tmp_path / "one", 1, False)
    torch.set_num_threads(threads)
    run_ranks(2, run_kinds, kinds, tmp_path / "two", 2, False)
    check_same(tmp_path / "two", tmp_path / "one", kinds, steps=5)


@pytest.mark.slow
def test_two_ranks_train_every_kind_as_one(tables: Tables, alone: Path, tmp_path: Path) -> None:
    run_ranks(2, run_kinds, tables, tmp_path / "two", 2, False)
    check_same(tmp_path / "two", alone, tables)


@pytest.mark.slow
def test_four_ranks_train_as_one_and_their_runs_go_on_with_two(tables: Tables, alone: Path, tmp_path: Path) -> None:
    run_ranks(4, run_kinds, tables, tmp_path / "four", 4, False)
    check_same(tmp_path / "four", alone, tables)
    for kind in tables:
        newest = sorted((tmp_path / "four" / kind / "checkpoints").iterdir())[-1]
        shutil.rmtree(newest)
        shutil.rmtree(tmp_path / "four" / kind / "model")
    run_ranks(2, run_kinds, tables, tmp_path / "four", 2, True)
    check_same(tmp_path / "four", alone, tables)


@pytest.mark.slow
def test_adapters_spread_over_two_ranks_train_as_on_one_and_are_merged_at_the_end(
    tables: Tables, tmp_path: Path
) -> None:
    adapted = {kind: table | {"lora": {"rank": 4, "alpha": 8}} for kind, table in tables.items()}
    threads = torch.get_num_threads()
    run_kinds(adapted, tmp_path / "one", 1, False)
    torch.set_num_threads(threads)
    run_ranks(2, run_kinds, adapted, tmp_path / "two", 2, False)
    check_same(tmp_path / "two", tmp_path / "one", adapted)
    newest = sorted((tmp_path / "two" / "rl" / "checkpoints").iterdir())[-1]
    shutil.rmtree(newest)
    shutil.rmtree(tmp_path / "two" / "rl" / "model")
    run_kinds({"rl": adapted["rl"]}, tmp_path / "two", 1, True)
    torch.set_num_threads(threads)
    check_same(tmp_path / "two", tmp_path / "one", adapted)
    device, dtype = torch.device("cpu"), torch.float32
    for kind in ("sft", "rl", "distill"):
        run = tmp_path / "two" / kind
        assert (run / "adapter" / "adapter_model.safetensors").is_file()
        merged = load_policy(str(run / "model"), device=device, dtype=dtype)
        newest = sorted((run / "checkpoints").iterdir())[-1]
        resumed = load_source(find_model(str(newest)), device=device, dtype=dtype)
        for ours, theirs in zip(resumed.model.parameters(), merged.model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_student_sampled_by_engines_beside_it_learns_the_same(tables: Tables, tmp_path: Path) -> None:
    apart = tables["distill"]["rollout"] | {"engines": {"count": 2}}
    threads = torch.get_num_threads()
    run_kinds({"distill": tables["distill"]}, tmp_path / "here", 1, False)
    run_kinds({"distill": tables["distill"] | {"rollout": apart}}, tmp_path / "apart", 1, False)
    torch.set_num_threads(threads)
    check_same(tmp_path / "apart", tmp_path / "here", {"distill": {}})
