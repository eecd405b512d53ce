"""On-policy distillation end to end, as a user starts it: from the command line, in its own process."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.model_folders import write_model_folder
from tests.models.served import serving
from tests.pipeline.command_line import kill, metrics, run
from tests.training.served_teacher import vllm_answers
from tests.training.sft_files import write_rows
from thinkwright.cli import main
from thinkwright.models.tokenizer import train_tokenizer

Command = Callable[..., list[str]]


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another kind of model, wider than the student."""
    folder = tmp_path_factory.mktemp("teacher")
    return write_model_folder(folder, "llama", seed=1, hidden_size=96, initializer_range=0.05)


@pytest.fixture
def command(model_folder: Callable[[str], Path], tmp_path: Path) -> Command:
    """The command line of a small run into a folder of the given name; the teacher is left to the overrides."""
    asked = write_rows(tmp_path / "asked.jsonl", [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(4)])
    rows = [{"question": f"How many are {i} times 7?", "answer": 7 * i} for i in range(20)]
    others = write_rows(tmp_path / "others.jsonl", rows)
    (tmp_path / "small.toml").write_text(
        f'type = "distill"\nmodel = "{model_folder("qwen2")}"\nsteps = 8\nlr = 5e-3\nmini_batches = 2\n'
        f'[task]\ntype = "rows"\npath = "{others}"\nheld_out_path = "{asked}"\n'
        "[rollout]\nprompts_per_step = 4\ngroup_size = 2\nmax_response_tokens = 12\n"
        "[evaluation]\nsamples_per_question = 1\nevery_steps = 4\n"
        '[machine]\ndevice = "cpu"\ndtype = "float32"\nthreads = 1\n',
        encoding="utf-8",
    )

    def build(name: str, *extra: str) -> list[str]:
        started = [sys.executable, "-m", "thinkwright", "run", str(tmp_path / "small.toml")]
        return [*started, *extra, "--out", str(tmp_path / name)]

    return build


def test_a_run_leaves_a_model_nearer_to_its_teacher_and_a_report(
    command: Command, teacher_folder: Path, tmp_path: Path
) -> None:
    done = run(command("r", f"teacher={teacher_folder}"))
    folder = tmp_path / "r"
    summary = json.loads((folder / "summary.json").read_text())
    rows = metrics(folder)
    assert (summary["status"], summary["steps"], len(rows)) == ("finished", 8, 8)
    assert rows[-1]["loss/reverse_kl"] < 0.6 * rows[0]["loss/reverse_kl"]
    assert rows[-1]["optim/lr"] == pytest.approx(5e-4)
    assert rows[-1]["policy/version"] == 16
    assert summary["rollout_tokens"] == sum(row["rollout/tokens"] for row in rows)
    assert summary["before"]["settings"]["num_questions"] == 4
    assert sorted(path.name for path in (folder / "eval").iterdir()) == [f"step_00000{i}.json" for i in (0, 4, 8)]
    assert "KL " in done.stdout
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>A student that follows its teacher: " in page
    assert "<h3>Distance from the teacher</h3>" in page
    assert not [claim for claim in ("GRPO", "by reward", "Training reward") if claim in page]
    AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)


def test_prompts_without_a_rule_and_a_served_teacher_will_do(
    command: Command, teacher_folder: Path, tmp_path: Path
) -> None:
    task = [f"task={{type='prompts', data=['{tmp_path / 'others.jsonl'}']}}", "evaluation=default"]
    with serving(vllm_answers(teacher_folder)) as url:
        served = [f"teacher_endpoint.url={url}", "teacher_endpoint.name=large"]
        run(command("r", "steps=2", *task, *served))
    folder = tmp_path / "r"
    assert len(metrics(folder)) == 2
    assert not (folder / "eval").exists()
    assert (folder / "model" / "config.json").exists()
    assert "nats per token away from it" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    command: Command, teacher_folder: Path, tmp_path: Path
) -> None:
    extra = [f"teacher={teacher_folder}", "steps=30", "checkpoint_steps=4", "evaluation.every_steps=7"]
    run(command("whole", *extra))
    kill(command("killed", *extra), tmp_path / "killed", after=6)
    assert not (tmp_path / "killed" / "summary.json").exists()
    (teacher_folder / "changed").touch()
    assert "the run began with other data" in run([*command("killed", *extra), "--resume"], expect=1).stderr
    (teacher_folder / "changed").unlink()
    run([*command("killed", *extra), "--resume"])
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    killed, whole = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    evaluations = [{p.name: p.read_text() for p in (tmp_path / n / "eval").iterdir()} for n in ("killed", "whole")]
    assert evaluations[0] == evaluations[1]


def refused(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the program says on its one line of error, having touched nothing."""
    capsys.readouterr()  # what making the models said
    assert main(arguments[3:]) == 1
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "r").exists()
    return told


def test_teachers_that_cannot_be_are_refused_before_the_folder_is_made(
    command: Command, model_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(command("r"), tmp_path, capsys)
    assert "no teacher: name one with teacher" in told
    short = write_model_folder(tmp_path / "short", "qwen2", max_position_embeddings=64)
    told = refused(command("r", f"teacher={short}"), tmp_path, capsys)
    assert "are over the context of" in told
    assert "64 tokens; lower it, or take a teacher with a longer context" in told
    other = write_model_folder(tmp_path / "other", "qwen2")
    train_tokenizer(["quite other words, over and over again"] * 50, 300).save_pretrained(other)
    told = refused(command("r", f"teacher={other}"), tmp_path, capsys)
    assert "has another tokenizer" in told
    assert "fine-tune on its rows (sft), which works with any tokenizer" in told
    told = refused(
        command("r", f"teacher={model_folder('qwen2')}", "rollout.max_response_tokens=1000"), tmp_path, capsys
    )
    assert "lower rollout.max_response_tokens" in told


def test_a_server_that_is_down_or_no_vllm_is_refused_before_the_folder_is_made(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def plain(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"choices": [{"text": "x", "logprobs": None}]}

    given = ["teacher_endpoint.name=large", "teacher_endpoint.retries=0"]
    with serving(plain) as url:
        told = refused(command("r", f"teacher_endpoint.url={url}", *given), tmp_path, capsys)
        assert "no choices[0].prompt_logprobs" in told
        assert "serve the teacher with vLLM" in told
    told = refused(command("r", f"teacher_endpoint.url={url}", *given), tmp_path, capsys)
    assert "no reply in 1 tries" in told
    assert "start the server" in told
