"""A pipeline of all kinds of stages, killed in every one of them, ends as one that nothing stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
MACHINE = 'machine = { device = "cpu", dtype = "float32", threads = 1 }'
RL = f"""
type = "rl"
model = "tiny-base"
steps = 3
checkpoint_steps = 1
{MACHINE}
rollout = {{ prompts_per_step = 4, group_size = 2, max_response_tokens = 32 }}
optimizer = {{ lr = 1e-4 }}
evaluation = {{ every_steps = 100, samples_per_question = 1 }}
[task]
type = "rows"
path = "FOLDER/train.jsonl"
held_out_path = "FOLDER/test.jsonl"
"""
SAMPLES = f"""
type = "rejection_sample"
model = "tiny-base"
template = "r1_zero"
steps = 3
rewrite = "tiny_world"
{MACHINE}
rollout = {{ prompts_per_step = 16, group_size = 2, max_response_tokens = 48 }}
task = {{ type = "tiny_world", families = ["facts", "ordering"] }}
"""
TUNING = f"""
type = "sft"
model = "tiny-base"
data = ["none.jsonl"]
epochs = 1
batch_size = 2
max_tokens = 512
lr = 1e-4
held_out_share = 0
checkpoint_steps = 1
{MACHINE}
"""
JUDGE = f"""
type = "reward_model"
model = "tiny-base"
data = ["tiny-world:helpful-pairs:40"]
reads = "summary"
loss = "pairwise"
batch_size = 16
max_tokens = 512
checkpoint_steps = 1
held_out_share = 0.2
{MACHINE}
"""
TABLE = f"""
type = "evaluate"
models = [{{ name = "none", model = "none" }}]
max_response_tokens = 32
evaluation = {{ samples_per_question = 1 }}
{MACHINE}
[task]
type = "rows"
path = "FOLDER/train.jsonl"
held_out_path = "FOLDER/test.jsonl"
"""
STAGES = """
type = "pipeline"
[[stages]]
name = "zero"
recipe = "rl.toml"
[[stages]]
name = "data"
recipe = "samples.toml"
set = { model = "@zero" }
[[stages]]
name = "tuned"
recipe = "tuning.toml"
set = { data = ["@data/examples.jsonl"] }
[[stages]]
name = "judge"
recipe = "judge.toml"
set = { model = "@tuned" }
[[stages]]
name = "all"
recipe = "rl.toml"
set.model = "@tuned"
set.template = "think_summary"
set.general.first_step = 1
set.general.helpful = { task = { type = "tiny_requests", families = ["greeting"] }, model = "@judge", share = 0.25 }
[[stages]]
name = "table"
recipe = "table.toml"
set.models = [{ name = "Zero", model = "@zero", template = "r1_zero" }, { name = "All", model = "@all" }]
"""
KILLED_AT = {
    "01-zero": "metrics.jsonl",
    "02-data": "metrics.jsonl",
    "03-tuned": "metrics.jsonl",
    "04-judge": "metrics.jsonl",
    "05-all": "metrics.jsonl",
    "06-table": "eval/Zero.json",
}
"""What stands in a stage's folder once it has done a part of its work."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name, numbers in (("train", range(8)), ("test", range(20, 24))):
        rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipes = {"rl": RL, "samples": SAMPLES, "tuning": TUNING, "judge": JUDGE, "table": TABLE, "all": STAGES}
    for name, text in recipes.items():
        (tmp_path / f"{name}.toml").write_text(text.replace("FOLDER", str(tmp_path)))
    return tmp_path / "all.toml"


def start(file: Path, place: Path) -> subprocess.Popen[bytes]:
    """The command in a folder of its own, so that relative paths, which rows are told with, are the same everywhere."""
    place.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "thinkwright", "run", str(file), "--out", "out"]
    with (place / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=place, env=os.environ | {"PYTHONPATH": paths}, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes], place: Path) -> None:
    assert process.wait(timeout=600) == 0, (place / "log.txt").read_text()[-3000:]


def made(place: Path) -> dict[str, Any]:
    """Hashes of every model, of the rows and of the table, and the figures, by stage."""
    found: dict[str, Any] = {}
    for path in sorted((place / "out/stages").glob("[0-9]*.json")):
        manifest = json.loads(path.read_text())
        assert manifest["status"] == "finished"
        hashes = {name: output["sha256"] for name, output in manifest["outputs"].items()}
        found[path.stem] = hashes, manifest["figures"]
    return found


@pytest.mark.slow
def test_killed_in_every_stage_the_same_command_gives_what_an_uninterrupted_one_gives(
    file: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    end(start(file, whole), whole)
    for stage, sign in KILLED_AT.items():
        process = start(file, killed)
        deadline = time.monotonic() + 300
        while not (killed / "out/stages" / stage / sign).exists():
            assert process.poll() is None, (killed / "log.txt").read_text()[-3000:]
            assert time.monotonic() < deadline, f"stage {stage} never came to {sign}"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert json.loads((killed / f"out/stages/{stage}.json").read_text())["status"] == "running"
    end(start(file, killed), killed)
    log = (killed / "log.txt").read_text()
    assert log.count("was stopped, goes on") >= len(KILLED_AT)
    assert list(made(killed)) == list(KILLED_AT)
    assert made(killed) == made(whole)
    assert (killed / "out/stages/06-table/table.json").read_bytes() == (
        whole / "out/stages/06-table/table.json"
    ).read_bytes()
    assert (killed / "out/report.html").is_file()
