"""The server's beginning and end, and how it follows a run."""

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
import pytest
import torch

from thinkwright.config.recipe import Machine
from thinkwright.config.serving import ServeSettings, ServingEngine
from thinkwright.errors import RecipeError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.serving import serve as serve_module
from thinkwright.serving.serve import serving
from thinkwright.training.checkpoint import Progress, save_checkpoint

SECONDS = 60.0
ENGINE = ServingEngine(slots=1, max_prompt_tokens=64, max_tokens=64, machine=Machine(threads=1, dtype="float32"))


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def engines_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The children of its children, for a process that has loaded the libraries forks them."""
    return [engine for helper in psutil.Process(process.pid).children() for engine in helper.children()]


def test_while_models_load_sighup_is_harmless_and_ctrl_c_ends_all(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "thinkwright", "serve", "tiny-base", "--port", "0"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--votes", str(tmp_path / "votes.sqlite")], stdout=log, stderr=log, text=True
        )
    try:
        until(lambda: engines_of(process), "no engine was started")
        (engine,) = engines_of(process)
        engine.suspend()  # it loads for ever
        helpers = psutil.Process(process.pid).children()
        for helper in helpers:  # as a signal to the whole group would
            helper.terminate()
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert all(helper.is_running() and helper.status() != psutil.STATUS_ZOMBIE for helper in helpers)
        process.send_signal(signal.SIGINT)
        process.wait(15)
        assert not engine.is_running()
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


def write_checkpoint(run: Path, step: int, masters: dict[str, torch.Tensor] | None) -> None:
    """As far as serving reads it; None: a broken one."""
    tensors = {f"masters/{name}": weight for name, weight in (masters or {}).items()}
    save_checkpoint(run / "checkpoints", Progress(step, step, 0, 0.0), tensors)


@pytest.mark.slow
def test_a_run_is_followed_past_what_cannot_be_read_or_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve_module, "FOLLOW_SECONDS", 0.05)
    policy = load_policy(resolve_model_name("tiny-base"), device=torch.device("cpu"), dtype=torch.float32)
    masters = {name: param.detach().clone() for name, param in policy.model.named_parameters()}
    recipe = json.dumps({"model": "tiny-base", "template": "r1_zero"})
    (tmp_path / "recipe.json").write_text(recipe)
    write_checkpoint(tmp_path, 1, masters)
    settings = ServeSettings((str(tmp_path),), port=0, follow=True, votes=tmp_path / "votes.sqlite", engine=ENGINE)

    def said(words: str) -> int:
        return sum(words in record.getMessage() for record in caplog.records)

    with caplog.at_level(logging.WARNING), serving(settings) as address:

        def version() -> str:
            (load,) = httpx2.get(f"{address}/health").json()["models"].values()
            return load["version"]

        assert version() == "step_000001"
        (tmp_path / "recipe.json").write_text("half a rec")
        until(lambda: said("cannot be found"), "nothing was said of the recipe")
        (tmp_path / "recipe.json").write_text(recipe)
        write_checkpoint(tmp_path, 2, None)
        until(lambda: said("goes on with the weights it has"), "nothing was said of the broken checkpoint")
        time.sleep(0.5)  # ten more looks
        assert (said("cannot be found"), said("goes on with the weights it has")) == (1, 1)
        write_checkpoint(tmp_path, 3, masters)
        until(lambda: version() == "step_000003", "the good checkpoint was not taken")


def test_vllm_cannot_follow(tmp_path: Path) -> None:
    settings = ServeSettings(
        ("tiny-base",), port=0, follow=True, vllm="http://127.0.0.1:9#x", votes=tmp_path / "votes.sqlite"
    )
    with pytest.raises(RecipeError, match="leave it or --vllm out"), serving(settings):
        raise AssertionError("it started")
