"""Thoughts that are closed in training: what a run that does so leaves, and learns from."""

import json
from pathlib import Path

import pytest

from thinkwright.cli import main
from thinkwright.run_folder import read_rollouts


@pytest.mark.usefixtures("few_held_out")
def test_long_thoughts_are_closed_and_the_answers_count(tmp_path: Path) -> None:
    small = ["steps=2", "rollout.prompts_per_step=8", "rollout.group_size=4", "gate=default"]
    small += ["optimizer.warmup_steps=0", "evaluation.samples_per_question=1", "machine.threads=1"]
    command = ["run", "tiny/r1-zero", *small, "rollout.thinking_budget=[4, 8]", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["rollout/interrupted_rate"] <= 1 for row in rows)
    members = [
        member
        for group in read_rollouts(tmp_path / "run" / "rollouts" / "step_000000.jsonl.zst")
        for member in group["members"]
    ]
    closed = [member for member in members if any(member["rollout"]["is_forced"])]
    assert closed
    assert all("</think> <answer>" in member["rollout"]["text"] for member in closed)
    assert any(member["scores"]["accuracy"] == 1 for member in closed)
