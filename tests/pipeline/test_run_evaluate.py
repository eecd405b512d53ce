"""Models side by side, as a user starts it: one table, and finished models stay finished."""

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.command_line import Started, run
from thinkwright.cli import main

RECIPE = """
type = "evaluate"
models = [{ name = "The speaker", model = "SPEAKER" }, { name = "Base", model = "BASE" }]
baseline = "Base"
max_response_tokens = 12
machine = { device = "cpu", dtype = "float32", threads = 1 }
evaluation = { samples_per_question = 1 }
[task]
type = "rows"
path = "FOLDER/train.jsonl"
held_out_path = "FOLDER/test.jsonl"
[requests]
type = "tiny_requests"
families = ["greeting", "harmful", "benign"]
"""
Command = Callable[..., list[str]]


@pytest.fixture
def command(speaker: Path, model_folder: Callable[[str], Path], tmp_path: Path) -> Command:
    """The command line of an evaluation into a folder of the given name."""
    for name, numbers in (("train", range(8)), ("test", range(20, 24))):
        rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = RECIPE.replace("SPEAKER", str(speaker)).replace("BASE", str(model_folder("qwen2")))
    (tmp_path / "small.toml").write_text(text.replace("FOLDER", str(tmp_path)))

    def build(name: str, *extra: str) -> list[str]:
        started = [sys.executable, "-m", "thinkwright", "run", str(tmp_path / "small.toml")]
        return [*started, *extra, "--out", str(tmp_path / name)]

    return build


def test_two_models_make_one_table_and_a_killed_run_keeps_the_finished_one(command: Command, tmp_path: Path) -> None:
    run(command("whole"))
    folder = tmp_path / "whole"
    table = json.loads((folder / "table.json").read_text())
    assert table["columns"] == ["The speaker", "Base"]
    rows = {row["figure"]: row["values"] for row in table["rows"]}
    assert {"right answers", "harmless", "over-refusal", "small talk: greetings"} <= rows.keys()
    ours, base = rows["helpfulness, win rate against Base"]
    assert base == 0.5
    assert 0 <= ours <= 1
    assert rows["small talk without a thought"][0] > 0.8  # sampled: now and then it says nothing at all
    lines = (folder / "table.md").read_text().splitlines()
    assert lines[:2] == ["| | The speaker | Base |", "|---|---|---|"]
    assert len(lines) == 2 + len(table["rows"])
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"], set(summary["after"])) == ("finished", 2, {"The speaker", "Base"})

    first = tmp_path / "killed" / "eval" / "The_speaker.json"
    process = Started(command("killed"))
    deadline = time.monotonic() + 240
    while not first.exists():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline, f"no {first} within 240 s"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "summary.json").exists()
    change(first, seconds=1000.0)
    made = first.stat().st_mtime_ns
    questions = (tmp_path / "test.jsonl").read_text()
    (tmp_path / "test.jsonl").write_text(questions.replace("20 plus 20", "19 plus 21"))
    assert "the run began with other data" in run([*command("killed"), "--resume"], expect=1).stderr
    (tmp_path / "test.jsonl").write_text(questions)
    run([*command("killed"), "--resume"])
    assert first.stat().st_mtime_ns == made
    assert json.loads((tmp_path / "killed" / "summary.json").read_text())["wall_seconds"] > 1000
    assert (tmp_path / "killed" / "table.json").read_text() == (folder / "table.json").read_text()
    change(first, digest="of a model since made anew")
    run([*command("killed"), "--resume"])
    assert first.stat().st_mtime_ns > made


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["baseline=Nobody"], "baseline: 'Nobody' is none of the models"),
        (['requests.families=["harmful"]'], "baseline has no effect on harmful requests alone"),
        (['models=[{name="A b",model="x"},{name="A_b",model="y"}]', "baseline=default"], "differ in a space alone"),
        (['models=[{name="A",model="nowhere/model"}]', "baseline=default"], "nowhere/model: no such folder"),
        (["max_response_tokens=1024"], "lower rollout.max_response_tokens"),
    ],
)
def test_bad_input_is_refused_before_the_folder_is_made(
    extra: list[str],
    words: str,
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else the Hub is asked, again and again
    assert main(command("r", *extra)[3:]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
