"""Supervised fine-tuning end to end, as a user starts it: from the command line, in its own process."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.pipeline.command_line import interrupt, kill, metrics, run
from tests.training.sft_files import make_rows, write_rows
from thinkwright.cli import main

Command = Callable[..., list[str]]


@pytest.fixture
def command(model_folder: Callable[[str], Path], tmp_path: Path) -> Command:
    """The command line of a small run into a folder of the given name."""
    rows = write_rows(tmp_path / "rows.jsonl", [*make_rows(40), *make_rows(1), {**make_rows(1)[0], "thought": None}])
    (tmp_path / "small.toml").write_text(
        f'type = "sft"\nmodel = "{model_folder("qwen2")}"\ndata = ["{rows}"]\nmax_tokens = 1024\nbatch_size = 8\n'
        'lr = 1e-3\nheld_out_share = 0.2\n[machine]\ndevice = "cpu"\ndtype = "float32"\nthreads = 1\n',
        encoding="utf-8",
    )

    def build(name: str, *extra: str) -> list[str]:
        started = [sys.executable, "-m", "thinkwright", "run", str(tmp_path / "small.toml")]
        return [*started, *extra, "--out", str(tmp_path / name)]

    return build


def test_a_run_leaves_a_model_a_falling_held_out_loss_and_a_report(command: Command, tmp_path: Path) -> None:
    done = run(command("r", "epochs=3"))
    folder = tmp_path / "r"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", summary["planned_steps"])
    assert summary["after"]["held_out_loss"] < 0.8 * summary["before"]["held_out_loss"]
    data = json.loads((folder / "data.json").read_text())
    assert data["rows"] == data["used"] + data["held_out"] == 42
    rows = metrics(folder)
    assert len(rows) == summary["steps"]
    assert sum(row["sft/tokens"] for row in rows) == 3 * data["completion_tokens"]
    assert rows[-1]["optim/lr"] == pytest.approx(1e-4)
    assert "held-out loss" in done.stdout
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>A model that imitates worked answers: loss of held-out ones " in page
    assert "<h3>Loss</h3>" in page
    assert "GRPO" not in page
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(folder / "model"))


def test_with_a_task_its_held_out_questions_are_answered_before_and_after(command: Command, tmp_path: Path) -> None:
    asked = write_rows(tmp_path / "asked.jsonl", [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(4)])
    others = write_rows(tmp_path / "other.jsonl", [{"question": "How many legs has a spider?", "answer": 8}])
    task = [f"task.path={others}", f"task.held_out_path={asked}", "task.type=rows"]
    limits = ["evaluation.samples_per_question=1", "evaluation.max_response_tokens=12"]
    run(command("r", "epochs=1", "held_out_share=0", *task, *limits))
    folder = tmp_path / "r"
    summary = json.loads((folder / "summary.json").read_text())
    for figures in (summary["before"], summary["after"]):
        assert figures["settings"]["num_questions"] == 4
        assert "held_out_loss" not in figures
    data = json.loads((folder / "data.json").read_text())
    assert data["left_out"] == {"contaminated": 3}  # "What is 1 + 1?" in three rows
    assert data["task"]["held_out"]["used"] == 4
    assert "of held-out questions right" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(command: Command, tmp_path: Path) -> None:
    extra = ["epochs=8", "checkpoint_steps=5", "evaluation.every_steps=4"]
    run(command("whole", *extra))
    kill(command("killed", *extra), tmp_path / "killed", after=8)
    run([*command("killed", *extra), "--resume"])
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    killed, whole = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    evaluations = [{p.name: p.read_text() for p in (tmp_path / n / "eval").iterdir()} for n in ("killed", "whole")]
    assert evaluations[0] == evaluations[1]


def test_ctrl_c_leaves_a_checkpoint_and_changed_rows_are_refused(command: Command, tmp_path: Path) -> None:
    arguments = command("r", "epochs=60", "checkpoint_steps=1000")
    interrupt(arguments, tmp_path / "r")
    assert "Not finished" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    write_rows(tmp_path / "rows.jsonl", make_rows(41))
    assert "the run began with other data" in run([*arguments, "--resume"], expect=1).stderr


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["max_tokens=default"], "max_tokens: 32768 is over the context of"),
        (["warmup_steps=500"], "warmup_steps: 500 leaves nothing of the 8 steps of the run"),
        (["template=r1_zero"], "rows.jsonl:42: no thought, and the template r1_zero has no form for that"),
        (['data=["nowhere.jsonl"]'], "nowhere.jsonl: no such file"),
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


def test_the_doctor_reads_its_rows_and_difficulty_says_that_it_has_no_rewards(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = command("r")[4]
    assert main(["doctor", path]) == 0
    assert "to learn from" in capsys.readouterr().out
    assert main(["difficulty", path, "--out", str(tmp_path / "d.jsonl")]) == 1
    assert "a supervised fine-tuning recipe has no rewards; name one of type rl" in capsys.readouterr().err
