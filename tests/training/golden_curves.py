"""Small trainings from the shipped base that are the same for ever: ``python -m tests.training.golden_curves`` writes
their losses into golden_curves.json, for a change that is meant to move them. LOG.md then says why.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.distributed.rank_runs import run_kinds
from tests.training.preference_files import make_pairs, write_pairs
from tests.training.sft_files import make_rows, write_rows
from thinkwright.algorithms.advantages import group_std
from thinkwright.config.algorithm import Algorithm
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.training.groups import training_groups, with_advantages
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import Updater
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

CURVES = Path(__file__).with_name("golden_curves.json")
FIGURES = {"sft": ("loss/nll", "optim/grad_norm"), "reward_model": ("loss/preference", "optim/grad_norm")}
LOSSES: dict[str, dict[str, Any]] = {
    "default": {},
    "cispo, sequence mean": {"loss": "cispo", "reduction": "sequence_mean", "kl": "k2"},
    "gspo, no KL": {"loss": "gspo", "clip_high": 0.5, "reduction": "sequence_mean", "kl_coef": 0.0},
    "sapo, entropy": {"loss": "sapo", "entropy": "bonus"},
}
Curves = dict[str, dict[str, list[float]]]


def make() -> Curves:
    """Every curve: its figures, a value for each step."""
    with tempfile.TemporaryDirectory() as folder:
        return _stages(Path(folder)) | {f"rl: {name}": _updates(settings) for name, settings in LOSSES.items()}


def _stages(folder: Path) -> Curves:
    rows, pairs = write_rows(folder / "rows.jsonl", make_rows(24)), write_pairs(folder / "pairs.jsonl", make_pairs(24))
    common = {"model": "tiny-base", "batch_size": 4, "epochs": 2, "max_tokens": 512, "lr": 1e-4, "held_out_share": 0.1}
    tables = {
        "sft": common | {"type": "sft", "data": [str(rows)]},
        "reward_model": common | {"type": "reward_model", "data": [str(pairs)], "reads": "summary", "loss": "pairwise"},
    }
    run_kinds(tables, folder, 1, False)
    read = {kind: (folder / kind / "metrics.jsonl").read_text().splitlines() for kind in tables}
    return {kind: {name: [json.loads(line)[name] for line in read[kind]] for name in FIGURES[kind]} for kind in tables}


def _updates(settings: dict[str, Any]) -> dict[str, list[float]]:
    """Eight updates by the same groups, so that ratios leave 1."""
    device, found = torch.device("cpu"), Algorithm.model_validate(settings)
    policy, reference = (
        load_policy(resolve_model_name("tiny-base"), device=device, dtype=torch.float32) for _ in range(2)
    )
    optimizer = MasterOptimizer(policy.model, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0)
    updater = Updater(policy, reference, optimizer, found, 1.0, 4096, max_tokens=32)
    scored = with_advantages([_group(policy, number) for number in range(3)], found, group_std)
    groups = [
        replace(group, members=tuple(replace(m, rollout_logprobs=m.old_logprobs or ()) for m in group.members))
        for group in updater.with_old_logprobs(training_groups(scored, found))  # as if the policy had drawn them
    ]
    rows = [updater.update(groups, lr=1e-5, max_grad_norm=1.0) for _ in range(8)]
    names = ("loss/total", "policy/kl", "policy/clip_fraction", "optim/grad_norm")
    return {name: [row[name] for row in rows] for name in names if name in rows[0]}


def _group(policy: Any, number: int) -> RolloutGroup:
    """Four completions of one question, of which the first is right and the last has no form."""
    question = f"What is {number + 3} plus {number}?"
    texts = (
        f"<think>{number + 3}+{number}={2 * number + 3}</think> <answer>{2 * number + 3}</answer>",
        f"<think>I guess so.</think> <answer>{number}</answer>",
        f"<think>step by step {number + 3} and {number}</think> <answer>{number + 9}</answer>",
        "no idea",
    )
    text, gold = f"User: {question} Assistant: ", str(2 * number + 3)
    prompt = Prompt(f"golden/{number}", question, text, "number", gold, gold, "r1_zero", "arithmetic", 1, "en")
    members = []
    for text, reward in zip(texts, (2.0, 1.0, 1.0, 0.0), strict=True):
        ids = tuple(policy.tokenizer.encode(text, add_special_tokens=False))
        zeros, drawn = (0.0,) * len(ids), (False,) * len(ids)
        members.append(ScoredRollout(Rollout(ids, zeros, zeros, drawn, text, "stop", 0), {}, reward))
    return RolloutGroup(prompt, tuple(policy.tokenizer.encode(prompt.text, add_special_tokens=False)), tuple(members))


if __name__ == "__main__":
    CURVES.write_text(json.dumps(make(), indent=1) + "\n")
