"""A reward model end to end, as a user starts it: from the command line, in its own process."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.pipeline.command_line import interrupt, metrics, run
from tests.training.preference_files import make_pairs, make_singles, write_pairs
from thinkwright.cli import main
from thinkwright.models.reward_model import load_reward_model

Command = Callable[..., list[str]]


@pytest.fixture
def command(model_folder: Callable[[str], Path], tmp_path: Path) -> Command:
    """The command line of a small run into a folder of the given name."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", make_pairs(60))
    write_pairs(tmp_path / "singles.jsonl", make_singles(60))
    (tmp_path / "small.toml").write_text(
        f'type = "reward_model"\nmodel = "{model_folder("qwen2")}"\ndata = ["{pairs}"]\nmax_tokens = 1024\n'
        'reads = "summary"\nloss = "pairwise"\nbatch_size = 8\nlr = 1e-3\nheld_out_share = 0.2\n'
        '[machine]\ndevice = "cpu"\ndtype = "float32"\nthreads = 1\n',
        encoding="utf-8",
    )

    def build(name: str, *extra: str) -> list[str]:
        started = [sys.executable, "-m", "thinkwright", "run", str(tmp_path / "small.toml")]
        return [*started, *extra, "--out", str(tmp_path / name)]

    return build


@pytest.mark.parametrize("loss", ["pairwise", "pointwise"])
def test_a_run_leaves_a_reward_model_its_figures_and_a_report(loss: str, command: Command, tmp_path: Path) -> None:
    data = {"pairwise": [], "pointwise": ["loss=pointwise", "reads=response", f'data=["{tmp_path}/singles.jsonl"]']}
    done = run(command("r", "epochs=6", *data[loss]))
    assert "held-out pairs at step" in done.stdout
    folder = tmp_path / "r"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", summary["planned_steps"])
    assert summary["after"]["held_out_accuracy"] > max(0.9, summary["before"]["held_out_accuracy"])
    assert {"calibration_error", "calibration_bins"} <= summary["after"].keys()
    assert len(metrics(folder)) == summary["steps"]
    report = json.loads((folder / "data.json").read_text())
    assert report["pairs"] == report["used"] + report["held_out"] == 60
    assert {"first_chosen", "first_chosen_standard_error"} <= report.keys()
    assert (folder / "report.html").exists()
    model = load_reward_model(folder / "model", device=torch.device("cpu"), dtype=torch.float32)
    assert (model.reading.loss, model.reading.deviation > 0) == (loss, True)
    good, bad = model.rewards([("Is 900 + 900 even?", None, text) for text in ("yes", "no")])
    assert 0 < bad < 0.5 < good < 1


def test_ctrl_c_leaves_a_checkpoint_and_changed_pairs_are_refused(command: Command, tmp_path: Path) -> None:
    arguments = command("r", "epochs=100", "checkpoint_steps=1000")
    interrupt(arguments, tmp_path / "r")
    write_pairs(tmp_path / "pairs.jsonl", make_pairs(61))
    assert "the run began with other data" in run([*arguments, "--resume"], expect=1).stderr


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["max_tokens=default"], "max_tokens: 8192 is over the context of"),
        (["warmup_steps=500"], "warmup_steps: 500 leaves nothing of"),
        (["template=r1_zero"], "template: r1_zero has no form without a thought"),
        (['data=["nowhere.jsonl"]'], "nowhere.jsonl: no such file"),
        (["reads=thought"], "reads: expected 'summary' or 'response', got 'thought'"),
        (["max_tokens=20"], "no pair is left to learn from"),
        (['data=["known:llmbar"]'], "known:llmbar: a set to test reward models with"),
    ],
)
def test_bad_input_is_refused_on_one_line_before_the_folder_is_made(
    extra: list[str], words: str, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("r", *extra)[3:]) == 1
    told = capsys.readouterr().err.strip()
    assert words in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_real_pairs_are_learned_from_by_name(
    command: Command, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKWRIGHT_DATA", str(data_folder))
    run(command("r", 'data=["known:short_instructions"]', "max_tokens=400", "batch_size=64", "machine.threads=1"))
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    report = json.loads((tmp_path / "r" / "data.json").read_text())
    assert summary["status"] == "finished"
    assert report["pairs"] == 1094 == report["used"] + report["held_out"] + sum(report["left_out"].values())
    assert report["used"] > 500
