"""The simulator against runs that can be reckoned by hand, and the phases it finds in a run folder."""

import dataclasses
import json
from pathlib import Path
from random import Random

import pytest

from thinkwright.cli import main
from thinkwright.errors import RunFolderError
from thinkwright.planning.phases import Phases, StepTokens, measure
from thinkwright.planning.simulate import Layout, best_layout, shared_layout, simulated_seconds
from thinkwright.planning.table import regrouped
from thinkwright.run_folder import write_rollouts
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

PHASES = Phases(decode=0.5, row=0.25, prompts=2.0, update=1.0, token=0.125, old_pass=0.125, other=0.0)


def alike(count: int, groups: int = 4, size: int = 2, length: int = 8) -> list[StepTokens]:
    return [StepTokens([[length] * size for _ in range(groups)], groups * size * length, groups) for _ in range(count)]


def test_in_turns_a_step_is_the_sum_of_its_phases() -> None:
    # 8 rows, 8 token steps of 0.5 + 8 * 0.25 s; then 2 s; then 1 + 64 / 8 s.
    assert simulated_seconds(PHASES, alike(5), Layout(1, 1, 0), slots=8) == pytest.approx(20 + 2 + 9)
    # Two engines have half the rows each, two trainers half the tokens.
    assert simulated_seconds(PHASES, alike(5), Layout(2, 2, 0), slots=8) == pytest.approx(12 + 2 + 5)
    # With half the slots the second half of the rows runs after the first.
    assert simulated_seconds(PHASES, alike(5), Layout(1, 1, 0), slots=4) == pytest.approx(24 + 2 + 9)


def test_a_step_ahead_the_slower_phase_sets_the_pace() -> None:
    # A free slot takes the next step's rows at once: sampling, 20 s a step, never stops; the last update comes after.
    num_steps = 200
    found = simulated_seconds(PHASES, alike(num_steps), Layout(1, 1, 1), slots=8)
    assert found == pytest.approx(20 + (2 + 10) / num_steps, rel=1e-6)
    slow = dataclasses.replace(PHASES, token=1.0)
    assert simulated_seconds(slow, alike(num_steps), Layout(1, 1, 1), slots=8) == pytest.approx(73, rel=0.01)


def test_one_long_completion_holds_up_turns_and_not_a_fleet_that_is_ahead() -> None:
    rng = Random(0)
    steps = [StepTokens([[rng.choice([4, 4, 4, 60]) for _ in range(4)] for _ in range(8)], 600, 8) for _ in range(40)]
    in_turns = shared_layout(PHASES, steps, 8, slots=32).step_seconds
    bounds = [best_layout(PHASES, steps, 8, bound, slots=32).step_seconds for bound in (0, 1, 2, 4)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[3] < in_turns


def test_phases_are_found_in_what_a_run_left(tmp_path: Path) -> None:
    rng, prompt = Random(1), Prompt("p", "", "", "", "", "", "", "", 0, "en")
    for step in range(12):
        lengths = [[rng.randint(3, 40) for _ in range(4)] for _ in range(6)]
        groups = [
            RolloutGroup(prompt, (1,) * 10, tuple(_member(n, taught=g % 2 == 0) for n in own))
            for g, own in enumerate(lengths)
        ]
        write_rollouts(tmp_path / "rollouts" / f"step_{step:06d}.jsonl.zst", groups)
        learned = sum(10 + sum(own) for own in lengths[::2])
        row = {
            "step": step,
            "time/rollout_seconds": 2.0 + 0.5 * max(map(max, lengths)) + 0.25 * sum(map(sum, lengths)),
            "time/update_seconds": 1.0 + 0.125 * learned,
        }
        row["time/step_seconds"] = row["time/rollout_seconds"] + row["time/update_seconds"]
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    recipe = {"type": "rl", "rollout": {"slots": 64}, "algorithm": {"kl_coef": 0.001, "mini_batches": 2}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    run = measure(tmp_path)
    assert dataclasses.astuple(run.phases) == pytest.approx(dataclasses.astuple(PHASES))
    assert simulated_seconds(run.phases, run.steps, Layout(1, 1, 0), run.slots) == pytest.approx(run.step_seconds)
    assert main(["simulate", str(tmp_path), "--devices", "2", "8", "--prompts", "20"]) == 0
    (tmp_path / "recipe.json").write_text(json.dumps(recipe | {"rollout": {"max_staleness": 2}}))
    with pytest.raises(RunFolderError, match="sampled asynchronously"):
        measure(tmp_path)


def _member(length: int, *, taught: bool) -> ScoredRollout:
    rollout = Rollout((1,) * length, (0.0,) * length, (), (False,) * length, "", "stop", 0)
    return ScoredRollout(rollout, {}, 0.0, advantage=0.5 if taught else None)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        measure(tmp_path)


def test_larger_steps_are_made_of_the_runs_groups() -> None:
    found = regrouped(alike(3), 10)
    assert len(found) >= 8
    assert all(len(step.lengths) == 10 and step.learned == 160 for step in found)
    assert regrouped(alike(3), None) == alike(3)
