"""``thinkwright eval`` on the tiny world: figures, resumption, several models, budgets, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.served import serving
from tests.pipeline.command_line import REPOSITORY, run, wait_for_rows

EVAL = [sys.executable, "-m", "thinkwright", "eval"]
SMALL = ["--suite", "tiny_world", "--questions", "8", "--samples", "4", "--dtype", "float32", "--max-tokens", "48"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, budgets and waits, measured once."""
    out = tmp_path_factory.mktemp("eval")
    run([*EVAL, "tiny-base", "tiny-base-small", *SMALL, "--budgets", "8,16,24", "--waits", "1", "--out", str(out)])
    return out


def figures(folder: Path, model: str = "tiny-base") -> dict[str, Any]:
    return json.loads((folder / model / "tiny_world" / "figures.json").read_text(encoding="utf-8"))


def test_figures_stand_beside_what_they_were_measured_with(folder: Path) -> None:
    found = figures(folder)
    assert found["settings"] == {
        "suite": "tiny_world", "model": found["settings"]["model"], "template": "r1_zero", "samples": 4,
        "temperature": 0.6, "top-p": 0.95, "max-tokens": 48, "seed": 0, "location": "tiny-base",
        "extraction_version": 1, "canonical_version": 1, "reward_model": None,
    }  # fmt: skip
    assert found["settings"]["model"].startswith("digest ")
    assert set(found["figures"]) == {"free", "budget-8", "budget-16", "budget-24", "wait-1"}
    free = found["figures"]["free"]
    assert free["num_questions"] == 8
    assert free["num_samples"] == 32
    assert free["accuracy_low"] <= free["accuracy"] <= free["accuracy_high"]
    assert {"pass_at_4", "cons_at_4", "cons_at_4_gain_low", "g_pass_at_4_50", "mean_thinking_tokens"} <= free.keys()
    short, waited = (found["figures"][name]["mean_thinking_tokens"] for name in ("budget-8", "wait-1"))
    assert short < free["mean_thinking_tokens"] < waited


def test_the_curve_and_the_table_hold_every_strategy(folder: Path) -> None:
    curve = json.loads((folder / "tiny-base" / "tiny_world" / "test_time.json").read_text(encoding="utf-8"))
    assert {point["strategy"] for point in curve["points"]} >= {"free", "budget", "wait", "free+vote", "budget+vote"}
    assert curve["fit"] is None  # the base's thoughts are short whatever the budget
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert "| | tiny-base | tiny-base-small |" in table
    assert "- against tiny-base | - | " in table
    for row in ("right answers", "pass@4", "cons@4 over one sample", "G-Pass@4, 50 % right", "budget 8", "wait 1"):
        assert f"| {row} |" in table


def test_samples_are_kept_with_their_tokens_and_scores(folder: Path) -> None:
    lines = (folder / "tiny-base" / "tiny_world" / "free.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 9
    row = json.loads(lines[1])
    assert all(len(one["token_ids"]) == one["num_tokens"] > 0 for one in row["completions"])
    scores = (folder / "tiny-base" / "tiny_world" / "free.scores.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(scores) == 32


def test_what_is_there_is_scored_again_without_sampling(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(folder, out)
    store = out / "tiny-base" / "tiny_world" / "free.jsonl"
    lines = store.read_text(encoding="utf-8").splitlines(keepends=True)
    row = json.loads(lines[1])
    row["completions"] = [{**one, "text": "<think> I know </think> <answer>?</answer>"} for one in row["completions"]]
    store.write_text("".join([lines[0], json.dumps(row) + "\n", *lines[2:6]]), encoding="utf-8")
    run([*EVAL, "tiny-base", *SMALL, "--out", str(out)])
    rows = [json.loads(line) for line in store.read_text(encoding="utf-8").splitlines()[1:]]
    assert {row["prompt_id"] for row in rows} == {json.loads(line)["prompt_id"] for line in lines[1:]}
    # What was lost is sampled again, just as it was; what was there is kept.
    before = {json.loads(line)["prompt_id"]: json.loads(line) for line in lines[1:]}
    for found in rows:
        assert found == (row if found["prompt_id"] == row["prompt_id"] else before[found["prompt_id"]])


@pytest.mark.slow
def test_interrupted_it_goes_on_with_the_same_command(folder: Path, tmp_path: Path) -> None:
    command = [*EVAL, "tiny-base", *SMALL, "--questions", "64", "--out", str(tmp_path / "cut")]
    store = tmp_path / "cut" / "tiny-base" / "tiny_world" / "free.jsonl"
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    wait_for_rows(store, 4, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert 2 < len(store.read_text(encoding="utf-8").splitlines()) < 65
    run(command)
    run([*command[:-1], str(tmp_path / "whole")])
    assert figures(tmp_path / "cut")["figures"] == figures(tmp_path / "whole")["figures"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny-base", "--suite", "gsm8"], "no 'gsm8'; did you mean gsm8k?"),
        (["tiny-base", "--suite", "tiny_world", "--template", "r1"], "--template r1: there is none of this name"),
        (["tiny-base", "tiny-base", "--suite", "tiny_world"], "two models are called tiny-base"),
        (["tests", "--suite", "tiny_world"], "tests: neither a model (config.json), nor a run"),
        (["http://127.0.0.1:9/v1", "--suite", "tiny_world"], "write http://127.0.0.1:9/v1#NAME"),
        (["tiny-base", "--suite", "tiny_world", "--key-variable", "KEY"], "--key-variable has no effect without"),
        (["http://127.0.0.1:9/v1#m", "--suite", "tiny_world", "--template", "boxed"], "--template has no effect on"),
        (["tiny-base", "--suite", "tiny_world", "--reward-model", "nowhere"], "nowhere: no reward model"),
        (["tiny-base", "--suite", "tiny_world", "--template", "chat"], "this model has no chat template"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(arguments: list[str], words: str, tmp_path: Path) -> None:
    found = run([*EVAL, *arguments, "--out", str(tmp_path / "out")], expect=1)
    assert words in found.stderr
    assert not (tmp_path / "out").exists()


def test_samples_of_other_settings_are_not_mixed(folder: Path) -> None:
    found = run([*EVAL, "tiny-base", *SMALL, "--temperature", "1", "--out", str(folder)], expect=1)
    assert "temperature = 0.6, not 1.0; give the same settings, or another --out" in found.stderr


def test_a_served_model_is_measured_as_a_local_one(tmp_path: Path) -> None:
    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        message = {"role": "assistant", "content": "The answer is 7.", "reasoning_content": "So it is 7."}
        usage = {"completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 12}}
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    with serving(answer) as url:
        run([*EVAL, f"{url}#m", "--suite", "tiny_world", "--questions", "8", "--samples", "2", "--out", str(tmp_path)])
    free = figures(tmp_path, "m")["figures"]["free"]
    assert free["mean_response_tokens"] == 20
    assert free["mean_thinking_tokens"] == 12


def test_a_chat_model_is_asked_in_its_own_template(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    chat = tmp_path / "chat-model"
    shutil.copytree(model_folder("qwen2"), chat)
    (chat / "chat_template.jinja").write_text(
        "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}<|assistant|><think>\n", encoding="utf-8"
    )
    run([*EVAL, str(chat), *SMALL, "--out", str(tmp_path / "out")])
    assert figures(tmp_path / "out", "chat-model")["settings"]["template"] == "chat"
