"""RL in which reward models judge a part of the prompts, as a user starts it, with the guard against hacking."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.pipeline.command_line import kill, metrics, run
from thinkwright.cli import main
from thinkwright.config.general import Guard
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.models.reward_model import Reading, start_reward_model
from thinkwright.run_folder import read_rollouts
from thinkwright.tasks.prompts import load_task
from thinkwright.training.general import hack_found

RECIPE = """
type = "rl"
model = "SPEAKER"
template = "think_summary"
steps = 6
checkpoint_steps = 2
machine = { device = "cpu", dtype = "float32", threads = 1 }
rewards = { random = 1, accuracy = 0, format = 1, language = 1 }
rollout = { prompts_per_step = 8, group_size = 4, max_response_tokens = 24 }
optimizer = { lr = 1e-3 }
evaluation = { every_steps = 4, samples_per_question = 1 }
[task]
type = "rows"
path = "FOLDER/train.jsonl"
held_out_path = "FOLDER/test.jsonl"
[general]
first_step = 2
guard = { window = 1 }
[general.helpful]
task = { type = "tiny_requests", families = ["greeting", "writing"] }
model = "FOLDER/helpful"
share = 0.25
[general.harmless]
task = { type = "tiny_requests", families = ["harmful"] }
model = "FOLDER/harmless"
share = 0.125
"""
Command = Callable[..., list[str]]


@pytest.fixture
def command(speaker: Path, tmp_path: Path) -> Command:
    """The command line of a small run into a folder of the given name."""
    for name, numbers in (("train", range(16)), ("test", range(20, 24))):
        rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    readings = {"helpful": ("summary", "pairwise"), "harmless": ("response", "pointwise")}
    for seed, (name, (reads, loss)) in enumerate(readings.items()):
        reading = Reading("think_summary", reads, loss, mean=0.1, deviation=0.05)
        device, dtype = torch.device("cpu"), torch.float32
        start_reward_model(str(speaker), reading, device=device, dtype=dtype, seed=seed).save(tmp_path / name)
    path = tmp_path / "small.toml"
    path.write_text(RECIPE.replace("SPEAKER", str(speaker)).replace("FOLDER", str(tmp_path)))

    def build(name: str, *extra: str) -> list[str]:
        return [sys.executable, "-m", "thinkwright", "run", str(path), *extra, "--out", str(tmp_path / name)]

    return build


def test_from_the_first_step_on_reward_models_judge_their_shares(command: Command, tmp_path: Path) -> None:
    run(command("r"))
    folder = tmp_path / "r"
    rows = metrics(folder)
    recipe = load_recipe(str(tmp_path / "small.toml"))
    assert isinstance(recipe, RLRecipe)
    task = load_task(recipe.task, recipe.template)
    assert [("general/preference" in row) for row in rows] == [False, False, True, True, True, True]
    for step, row in enumerate(rows):
        groups = read_rollouts(folder / "rollouts" / f"step_{step:06d}.jsonl.zst")
        families = [group["prompt"]["family"] for group in groups]
        ruled = [group["prompt"]["prompt_id"] for group in groups[: 8 if step < 2 else 5]]
        assert ruled == [prompt.prompt_id for prompt in task.prompts(0, step, 8)][: len(ruled)], "no jump in the order"
        judged = [family for family in families if family in ("greeting", "writing", "harmful")]
        assert len(groups) == 8
        assert (len(judged), families.count("harmful")) == ((3, 1) if step >= 2 else (0, 0))
        verdicts = [
            member["scores"][name]
            for group in groups
            for member in group["members"]
            for name in ("helpful", "harmless")
            if name in member["scores"]
        ]
        if step >= 2:
            assert len(verdicts) == 12
            assert row["general/preference"] == pytest.approx(sum(verdicts) / len(verdicts))
            assert 0 < row["general/preference"] < 1
            assert row["general/helpful"] > 0
    # Evaluated at the first general step, too: the guard compares with it.
    assert sorted(path.name for path in (folder / "eval").glob("step_*")) == [
        f"step_{step:06d}.json" for step in (0, 2, 4, 6)
    ]


def test_a_reward_is_verdict_form_and_language(command: Command, tmp_path: Path) -> None:
    run(command("r", "steps=3", "general.weight=2.0"))
    groups = read_rollouts(tmp_path / "r" / "rollouts" / "step_000002.jsonl.zst")
    members = [m for group in groups for m in group["members"] if {"helpful", "harmless"} & m["scores"].keys()]
    assert len(members) == 12
    for member in members:
        scores = member["scores"]
        verdict = scores.get("helpful", scores.get("harmless"))
        assert member["reward"] == pytest.approx(2 * verdict + scores["format"] + scores["language"])
    assert len({member["reward"] for member in members}) > 3


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_reward_models_or_other_general_prompts(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "asked.jsonl").write_text('{"question": "Who are you?"}\n{"question": "Hi!"}\n')
    asked = f"general.helpful.task={{type='prompts',data=['{tmp_path}/asked.jsonl']}}"
    whole = command("r", asked, "steps=4")
    kill(whole, tmp_path / "r", after=2)
    for path in (tmp_path / "asked.jsonl", tmp_path / "harmless" / "model.safetensors"):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]) if path.suffix != ".jsonl" else before[:29])
        assert "the run began with other data" in run([*whole, "--resume"], expect=1).stderr
        path.write_bytes(before)
    run([*whole, "--resume"])


@pytest.mark.slow
def test_the_guard_stops_a_run_and_leaves_a_checkpoint(command: Command, tmp_path: Path) -> None:
    extra = ["steps=40", "general.first_step=0", "evaluation.every_steps=6", "checkpoint_steps=2"]
    folder = tmp_path / "r"
    kill(command("r", *extra), folder, after=3)
    hack(folder)
    refused = run([*command("r", *extra), "--resume"], expect=1)
    assert "stopped by general.guard: the reward models' verdict rose from 0.000 to" in refused.stderr
    assert "from 100.0% (step 0) to" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    stopped_at = len(metrics(folder))
    assert stopped_at % 6 == 0
    assert (folder / "checkpoints" / f"step_{stopped_at:06d}" / "progress.json").exists()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "guard"] == [stopped_at]
    assert not (folder / "summary.json").exists()
    # Going on finds the same, and a run without the guard is another recipe.
    assert "stopped by general.guard" in run([*command("r", *extra), "--resume"], expect=1).stderr
    unguarded = run([*command("r", *extra, "general.guard=false"), "--resume"], expect=1).stderr
    assert "the run began with another recipe" in unguarded
    assert "general.guard.max_accuracy_drop: 0.03 in the folder, absent now" in unguarded


@pytest.mark.slow
def test_without_the_guard_a_run_goes_on(command: Command, tmp_path: Path) -> None:
    extra = ["steps=6", "general.first_step=0", "evaluation.every_steps=3", "checkpoint_steps=1", "general.guard=false"]
    folder = tmp_path / "r"
    kill(command("r", *extra), folder, after=2)
    hack(folder)
    run([*command("r", *extra), "--resume"])
    assert len(metrics(folder)) == 6
    assert hack_found(folder, Guard(window=1), first_step=0) is not None, "it would have been stopped"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["general.helpful.share=0.01"], "general.helpful.share: 0.01 of 8 prompts is none; raise it"),
        (["general.helpful.share=0.875"], "general: the shares leave no prompt of a step to the rules"),
        (["general.helpful.share=0.9", "general.harmless.share=0.9"], "come to more than 1; lower them"),
        (["general.first_step=6"], "general.first_step = 6 is not under steps = 6"),
        (["general.helpful.model=HARMLESS"], "trained to read the response, and here it would judge the summary"),
        (["general.helpful.model=SPEAKER"], "no reward model, reward_model.json cannot be read"),
        (["model=HARMLESS"], "harmless is a reward model, which writes nothing; give a language model"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_the_folder_is_made(
    extra: list[str],
    words: str,
    command: Command,
    speaker: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [word.replace("HARMLESS", str(tmp_path / "harmless")).replace("SPEAKER", str(speaker)) for word in extra]
    assert main(command("r", *given)[3:]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def hack(folder: Path) -> None:
    """As if the policy had been right at first, and the reward models had liked nothing: the guard reads the files."""
    change(folder / "eval" / "step_000000.json", accuracy=1.0, accuracy_standard_error=0.0)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows[0]["general/preference"] = 0.0
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def change(path: Path, **figures: Any) -> None:
    row = json.loads(path.read_text())
    row["figures"] |= figures
    path.write_text(json.dumps(row))
