"""The main job end to end, as a user starts it: from the command line, in its own process."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.pipeline.command_line import Started, interrupt, kill, metrics, run, wait_for_rows
from tests.tasks.made_sets import write_data_folder
from thinkwright.run_folder import read_rollouts

COIN = ["rewards.random=1", "rewards.accuracy=0", "rewards.format=0"]
SMALL = [
    "machine.dtype=float32",
    "machine.device=cpu",
    "machine.threads=1",
    "rollout.prompts_per_step=4",
    "rollout.group_size=4",
    "rollout.max_response_tokens=12",
    "evaluation.samples_per_question=1",
    "evaluation.every_steps=2",
    "task.max_held_out=8",
    "optimizer.lr=1e-3",
]


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data folder with rows of GSM8K's form."""
    return write_data_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def command(model_folder: Callable[[str], Path], made_folder: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a small gsm8k run into a folder of the given name."""

    def build(name: str, *extra: str) -> list[str]:
        given = [f"model={model_folder('qwen2')}", f"task.data={made_folder}"]
        out = ["--out", str(tmp_path / name)]
        return [sys.executable, "-m", "thinkwright", "run", "gsm8k/r1-zero", *given, *SMALL, *extra, *out]

    return build


def test_gsm8k_runs_two_steps_on_a_random_qwen2_folder(command: Callable[..., list[str]], tmp_path: Path) -> None:
    done = run(command("r", "steps=2"))
    folder = tmp_path / "r"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["steps"] == 2
    assert summary["rollout_tokens"] == sum(row["rollout/tokens"] for row in metrics(folder)) > 0
    wanted = {"accuracy", "accuracy_by_family", "format_rate", "mean_response_tokens", "reflection_rate"}
    wanted |= {"truncated_rate", "language_consistency"}
    assert wanted <= summary["before"].keys()
    assert wanted <= summary["after"].keys()
    assert "report.html" in done.stdout
    groups = read_rollouts(folder / "rollouts" / "step_000001.jsonl.zst")
    assert [len(group["members"]) for group in groups] == [4] * 4
    for name in ("recipe.json", "environment.json", "events.jsonl", "report.html", "model/config.json"):
        assert (folder / name).exists(), name


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    # Rewards by coin, so that a model that knows nothing still has something to learn from.
    extra = ["steps=6", "checkpoint_steps=2", *COIN, "algorithm.kl_coef=0.5", "algorithm.reference_refresh_steps=3"]
    run(command("whole", *extra))
    kill(command("killed", *extra), tmp_path / "killed", after=3)
    assert not (tmp_path / "killed" / "summary.json").exists()
    run([*command("killed", *extra), "--resume"])
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    assert any(row["optim/grad_norm"] > 0 for row in metrics(tmp_path / "whole") if "optim/grad_norm" in row)
    for step in range(6):
        name = f"rollouts/step_{step:06d}.jsonl.zst"
        assert read_rollouts(tmp_path / "killed" / name) == read_rollouts(tmp_path / "whole" / name)
    killed, whole = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    figures = [json.loads((tmp_path / n / "summary.json").read_text())["after"] for n in ("killed", "whole")]
    assert figures[0] == figures[1]


def test_a_clock_that_is_set_back_again_and_again_changes_nothing(
    command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = ["steps=3", *COIN]
    run(command("whole", *extra))
    real, hours = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    run(command("moved", *extra))
    assert metrics(tmp_path / "moved") == metrics(tmp_path / "whole")
    events = [json.loads(line)["time"] for line in (tmp_path / "moved" / "events.jsonl").read_text().splitlines()]
    assert events[0] - events[-1] > 3000, "the clock was set back between them"
    for line in (tmp_path / "moved" / "metrics.jsonl").read_text().splitlines():
        assert all(0 <= value < 600 for name, value in json.loads(line).items() if name.startswith("time/")), line


def test_prompts_that_teach_nothing_are_made_up_for_by_others(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    # Of two members and a coin each, half of the groups have the same reward twice.
    extra = ["steps=4", "rollout.group_size=2", *COIN, "checkpoint_steps=100"]
    run(command("plain", *extra))
    run(command("refilled", *extra, "rollout.refill_rounds=8"))
    plain, refilled = metrics(tmp_path / "plain"), metrics(tmp_path / "refilled")
    assert any(row["rollout/skipped_groups"] > 0 for row in plain)
    for step, row in enumerate(refilled):
        groups = read_rollouts(tmp_path / "refilled" / "rollouts" / f"step_{step:06d}.jsonl.zst")
        assert len({group["prompt"]["prompt_id"] for group in groups}) == len(groups)
        assert len(groups) - row["rollout/skipped_groups"] == 4
    first = [
        read_rollouts(tmp_path / name / "rollouts" / "step_000000.jsonl.zst")[:4] for name in ("plain", "refilled")
    ]
    assert [g["prompt"] for g in first[0]] == [g["prompt"] for g in first[1]]


def test_ctrl_c_leaves_a_checkpoint_and_resume_finishes(command: Callable[..., list[str]], tmp_path: Path) -> None:
    arguments = command("r", "steps=40", "checkpoint_steps=100", "evaluation.every_steps=500", *COIN)
    interrupt(arguments, tmp_path / "r")
    refused = run([*arguments, "seed=3", "--resume"], expect=1)
    assert "seed" in refused.stderr
    run([*arguments, "--resume"])
    assert [row["step"] for row in metrics(tmp_path / "r")] == list(range(40))
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["status"] == "finished"


def test_a_machine_that_is_taken_away_leaves_a_checkpoint_and_its_own_exit_code(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    extra = ["steps=8", "checkpoint_steps=100", *COIN]
    process = Started(command("r", *extra))
    wait_for_rows(tmp_path / "r" / "metrics.jsonl", 2, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == os.EX_TEMPFAIL
    assert "go on by the same command with --resume" in process.log.read_text(encoding="utf-8")
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (summary["status"], summary["stopped_by"]) == ("interrupted", "SIGTERM")
    run([*command("r", *extra), "--resume"])
    run(command("whole", *extra))
    assert metrics(tmp_path / "r") == metrics(tmp_path / "whole")


def test_an_existing_run_folder_is_refused_with_the_remedy(command: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "recipe.json").write_text("{}")
    refused = run(command("r", "steps=2"), expect=1)
    assert "--resume" in refused.stderr
    assert "--out" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_prompt_longer_than_the_context_is_refused_before_training(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    refused = run(command("r", "steps=2", "rollout.max_response_tokens=1000"), expect=1)
    assert "lower rollout.max_response_tokens" in refused.stderr
    assert not (tmp_path / "r").exists()


def test_help_and_recipe_errors_need_no_torch() -> None:
    code = (
        "import sys; from thinkwright.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert main(['run', 'tiny/r1-zero', 'optimizer.lrr=1']) == 1\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "did you mean" in done.stderr


@pytest.mark.parametrize("verb", ["run", "doctor"])
def test_a_method_that_is_not_there_is_refused_before_a_row_is_examined(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examined(*_: object, **__: object) -> None:
        pytest.fail("rows were examined")

    monkeypatch.setattr("thinkwright.pipeline.rl.check_up", examined)
    command = [sys.executable, "-m", "thinkwright", verb, "tiny/r1-zero", "algorithm.loss=no_such_module:f"]
    done = run([*command, "--out", str(tmp_path / "out")], expect=1)
    assert "algorithm.loss: no_such_module:f: No module named 'no_such_module'" in done.stderr
    assert "examined" not in done.stdout
    assert not (tmp_path / "out").exists()
