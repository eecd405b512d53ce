"""Whole runs as the ranks of the tests make them; in a file of its own, since other processes import it by name."""

from pathlib import Path
from typing import Any

import torch

from thinkwright.config.kinds import Recipe
from thinkwright.config.load import parse_recipe
from thinkwright.distributed.ranks import joined_ranks
from thinkwright.pipeline.distill import run_distill
from thinkwright.pipeline.reward_model import run_reward_model
from thinkwright.pipeline.rl import run_rl
from thinkwright.pipeline.sft import run_sft

MACHINE = {"device": "cpu", "dtype": "float32", "threads": 1}
RUNS: dict[str, Any] = {"sft": run_sft, "rl": run_rl, "reward_model": run_reward_model, "distill": run_distill}


def run_kinds(tables: dict[str, dict[str, Any]], folder: Path, size: int, resume: bool) -> None:
    """Run the recipe of each kind as one of ``size`` ranks, each into its folder."""
    torch.set_num_threads(1)
    with joined_ranks(size, 120, {}) as ranks:
        for kind, table in tables.items():
            recipe: Recipe = parse_recipe(kind, table | {"machine": MACHINE | {"ranks": size}})
            RUNS[kind](recipe, folder / kind, resume=resume, argv=[], ranks=ranks)
