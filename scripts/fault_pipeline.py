"""A pipeline of every kind of stage, small enough to be broken off again and again, and what it must leave in the end.

Processes are forked from the script's, which has loaded the libraries, so that faults meet work and not its imports.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import zstandard
from safetensors.torch import load_file

from thinkwright.cli import main as thinkwright_main

MACHINE = 'machine = { device = "cpu", dtype = "float32", threads = 1 }'
ROWS = """
[task]
type = "rows"
path = "FOLDER/train.jsonl"
held_out_path = "FOLDER/test.jsonl"
"""
RECIPES = {
    "rl": f"""
type = "rl"
model = "tiny-base"
steps = 6
checkpoint_steps = 2
{MACHINE}
rollout = {{ prompts_per_step = 8, group_size = 4, max_response_tokens = 48 }}
algorithm = {{ reference_refresh_steps = 3 }}
optimizer = {{ lr = 1e-4 }}
evaluation = {{ every_steps = 2, samples_per_question = 2 }}
{ROWS}""",
    "base": f"""
type = "pretrain"
start = "tiny-base"
steps = 6
documents_per_step = 16
checkpoint_steps = 2
evaluation = {{ samples_per_question = 1 }}
{MACHINE}
""",
    "samples": f"""
type = "rejection_sample"
model = "tiny-base"
template = "r1_zero"
steps = 4
rewrite = "tiny_world"
{MACHINE}
rollout = {{ prompts_per_step = 16, group_size = 2, max_response_tokens = 48 }}
task = {{ type = "tiny_world", families = ["facts", "ordering"] }}
""",
    "tuning": f"""
type = "sft"
model = "tiny-base"
data = ["none.jsonl"]
epochs = 2
batch_size = 4
max_tokens = 512
lr = 1e-4
held_out_share = 0.1
checkpoint_steps = 2
{MACHINE}
""",
    "judge": f"""
type = "reward_model"
model = "tiny-base"
data = ["tiny-world:helpful-pairs:60"]
reads = "summary"
loss = "pairwise"
batch_size = 8
max_tokens = 512
checkpoint_steps = 2
held_out_share = 0.2
{MACHINE}
""",
    "student": f"""
type = "distill"
model = "tiny-base-small"
teacher = "none"
template = "think_summary"
steps = 4
checkpoint_steps = 1
{MACHINE}
rollout = {{ prompts_per_step = 8, group_size = 2, max_response_tokens = 48 }}
evaluation = {{ every_steps = 2, samples_per_question = 1 }}
{ROWS}""",
    "table": f"""
type = "evaluate"
models = [{{ name = "none", model = "none" }}]
max_response_tokens = 32
evaluation = {{ samples_per_question = 1 }}
{MACHINE}
{ROWS}""",
}
STAGES = """
type = "pipeline"
[[stages]]
name = "base"
recipe = "base.toml"
[[stages]]
name = "zero"
recipe = "rl.toml"
set.model = "@base"
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
set.general.first_step = 2
set.general.helpful = { task = { type = "tiny_requests", families = ["greeting"] }, model = "@judge", share = 0.25 }
[[stages]]
name = "ppo"
recipe = "rl.toml"
set.model = "@tuned"
set.algorithm.advantage = "gae"
set.critic = { lr = 1e-4, pretrain_steps = 1 }
[[stages]]
name = "student"
recipe = "student.toml"
set = { teacher = "@all" }
[[stages]]
name = "table"
recipe = "table.toml"
set.models = [{ name = "Zero", model = "@zero", template = "r1_zero" }, { name = "All", model = "@all" }]
"""
CLOCK = ("seconds", "per_second", "wall")
"""Parts of the names of what depends on the clock."""


def write_recipes(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers in (("train", range(12)), ("test", range(20, 28))):
        rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in numbers]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in (RECIPES | {"all": STAGES}).items():
        (folder / f"{name}.toml").write_text(text.replace("FOLDER", str(folder.resolve())))
    return (folder / "all.toml").resolve()


def begin(recipe: Path, place: Path, log: Path) -> int:
    """Fork a process, first of its group, that runs the pipeline in a folder of its own; returns its number."""
    place.mkdir(exist_ok=True)
    told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if number := os.fork():
        os.close(told)
        return number
    os.setsid()
    os.chdir(place)
    os.dup2(told, 1)
    os.dup2(told, 2)
    code = 1
    try:
        code = thinkwright_main(["run", str(recipe), "--out", "out"])
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(number: int, seconds: float = float("inf")) -> int | None:
    """The exit code, or None if the process has not ended by then."""
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)


def contents(place: Path) -> dict[str, str]:
    """A digest of every file that the stages left, without what depends on the clock."""
    stages = place / "out" / "stages"
    wanted = ("*/metrics.jsonl", "*/rollouts/*", "*/eval/*.json", "*/checkpoints/*/*.safetensors", "*/kept.jsonl")
    wanted += ("*/model/*.safetensors", "*/examples.jsonl", "*/table.json")
    return {
        str(path.relative_to(stages)): hashlib.sha256(told(path)).hexdigest()
        for pattern in wanted
        for path in stages.glob(pattern)
    }


def told(path: Path) -> bytes:
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    if path.suffix == ".jsonl":
        rows = [without_clock(json.loads(line)) for line in path.read_text().splitlines()]
        return json.dumps(rows).encode()
    if path.suffix == ".json":
        return json.dumps(without_clock(json.loads(path.read_text()))).encode()
    if path.suffix == ".safetensors":  # in which order tensors lie in a file says nothing
        tensors = load_file(path)
        return b"".join(f"{name} {tensors[name].dtype}".encode() + raw(tensors[name]) for name in sorted(tensors))
    return path.read_bytes()


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def without_clock(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: without_clock(v) for k, v in data.items() if not any(part in k for part in CLOCK)}
    return [without_clock(item) for item in data] if isinstance(data, list) else data


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    return sorted(name for name in expected | found if expected.get(name) != found.get(name))
