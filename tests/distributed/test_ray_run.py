"""A run on a Ray cluster of several nodes: what it gives, and what it makes of engines and nodes that die."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipeline.command_line import REPOSITORY, metrics
from thinkwright.run_folder import read_rollouts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no Ray here"),
    pytest.mark.filterwarnings("ignore"),
]
RUN = [
    "tiny/r1-zero",
    "steps=8",
    "rollout.prompts_per_step=8",
    "rollout.group_size=4",
    "rollout.max_response_tokens=96",
    "evaluation.every_steps=100",
    "evaluation.samples_per_question=1",
    "machine.threads=1",
    "machine.dtype=float32",
    "gate=default",
    "checkpoint_steps=2",
]
ENGINES = ["rollout.engines.count=2", "rewards.workers=1"]
CLOCKS = ("time/", "rollout/tokens_per_second", "reward/answers_per_second", "update/tokens_per_second")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes on this machine; the first has room for trainer and reward worker alone."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()


def start(out: Path, *extra: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "thinkwright", "run", *RUN, *extra, "--out", str(out)]
    log = out.with_suffix(".log").open("w")
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, text=True)


def finish(process: "subprocess.Popen[str]", out: Path) -> list[dict[str, Any]]:
    code = process.wait(420)
    assert code == 0, out.with_suffix(".log").read_text()[-3000:]
    rows = metrics(out)
    return [{name: value for name, value in row.items() if not name.startswith(CLOCKS)} for row in rows]


def actors(kind: str) -> list[psutil.Process]:
    """Processes of actors, by what Ray calls them."""
    return [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[0].startswith(f"ray::{kind}")]


def check_accounts(out: Path) -> None:
    """Each step has each of its prompts once, each with all its members."""
    for step in range(8):
        groups = read_rollouts(out / "rollouts" / f"step_{step:06d}.jsonl.zst")
        ids = [group["prompt"]["prompt_id"] for group in groups]
        assert len(ids) == len(set(ids)) == 8
        assert all(len(group["members"]) == 4 for group in groups)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("alone") / "run"
    return finish(start(out), out)


def test_killed_engines_and_a_lost_node_change_no_number(
    cluster: Any, alone: list[dict[str, Any]], tmp_path: Path
) -> None:
    out, rng, killed = tmp_path / "run", random.Random(0), 0
    process = start(out, *ENGINES, "--ray", cluster.address)
    node: Any = None
    while process.poll() is None:
        time.sleep(rng.uniform(0.5, 2.0))
        if (out / "metrics.jsonl").exists() and node is None and len(metrics(out)) >= 2:
            node = cluster.add_node(num_cpus=1)
            cluster.remove_node(cluster.worker_nodes.copy().pop())
        elif (found := actors("EngineActor")) and killed < 6:
            rng.choice(found).send_signal(signal.SIGKILL)
            killed += 1
    assert finish(process, out) == alone
    assert killed >= 3
    assert node is not None
    check_accounts(out)


def test_a_killed_trainer_goes_on_from_its_checkpoint(
    cluster: Any, alone: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(out, *ENGINES, "--ray", cluster.address)
    while process.poll() is None and not ((out / "metrics.jsonl").exists() and len(metrics(out)) >= 5):
        time.sleep(0.2)
    for actor in actors("RankActor"):
        actor.send_signal(signal.SIGKILL)
    assert finish(process, out) == alone
    assert "all start again from step_000004" in out.with_suffix(".log").read_text()


def test_two_ranks_and_ctrl_c(cluster: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    extra = ["machine.ranks=2", "rewards.workers=1", "steps=400"]
    process = start(out, *extra, "--ray", cluster.address)
    while process.poll() is None and not ((out / "metrics.jsonl").exists() and len(metrics(out)) >= 2):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, out.with_suffix(".log").read_text()[-3000:]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert (out / "checkpoints" / f"step_{summary['steps']:06d}").is_dir()


def test_a_cluster_that_is_too_small_or_not_there_is_named(cluster: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "rewards.workers=64", "--ray", cluster.address)
    assert process.wait(120) == 1
    assert "64 reward workers (rewards.workers, of each rank)" in out.with_suffix(".log").read_text()
    process = start(out, "--ray", "127.0.0.1:1")
    assert process.wait(120) == 1
    assert "there is no Ray cluster" in out.with_suffix(".log").read_text()
