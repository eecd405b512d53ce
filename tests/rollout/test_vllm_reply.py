"""What vLLM answers becomes rollouts, or an error that names the server; options that cannot work are refused."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError

from thinkwright.config.recipe import RLRecipe
from thinkwright.config.vllm import VLLMSettings
from thinkwright.errors import EndpointError, ModelError
from thinkwright.models.policy import Policy, load_policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.vllm import keeper
from thinkwright.rollout.vllm.reply import rollouts_of
from thinkwright.rollout.vllm.server import Launch, VLLMServer

SETTINGS = SamplingSettings(group_size=2, max_tokens=4, temperature=1.0, seed=0, step=0)
REQUEST = RolloutRequest("p", (5, 6, 7))
VERSION = 3


@pytest.fixture
def small(model_folder: Callable[[str], Path]) -> Policy:
    return load_policy(str(model_folder("qwen2")), device=torch.device("cpu"), dtype=torch.float32)


def choice(index: int, ids: list[int], **changes: Any) -> dict[str, Any]:
    return {
        "index": index,
        "token_ids": ids,
        "logprobs": {"content": [{"token_id": token, "logprob": -float(i)} for i, token in enumerate(ids)]},
        "finish_reason": "length",
        "weight_versions": [{"version": str(VERSION), "start": 0, "end": len(ids)}],
    } | changes


def read(policy: Policy, *choices: dict[str, Any], request: RolloutRequest = REQUEST, **settings: Any) -> Any:
    asked = replace(SETTINGS, **settings)
    return rollouts_of({"choices": list(choices)}, "http://there", policy, request, asked, range(VERSION, VERSION + 2))


def test_completions_come_in_the_order_of_members_with_their_ends(small: Policy) -> None:
    end = small.end_ids[0]
    first, second = read(small, choice(1, [8, 9, 10, 11]), choice(0, [8, end], finish_reason="stop"))
    assert (first.token_ids, first.finish_reason, first.logprobs) == ((8, end), "stop", (-0.0, -1.0))
    assert first.text == small.tokenizer.decode([8])
    assert (second.token_ids, second.finish_reason, second.policy_version) == ((8, 9, 10, 11), "length", VERSION)
    assert second.untempered_logprobs == second.logprobs


def test_a_forced_start_counts_and_is_marked(small: Policy) -> None:
    request = replace(REQUEST, forced_start=(20, 21))
    first, _ = read(small, choice(0, [8, 9]), choice(1, [8, 9]), request=request)
    assert first.token_ids == (20, 21, 8, 9)
    assert first.is_forced == (True, True, False, False)
    assert first.logprobs == (0.0, 0.0, -0.0, -1.0)


def test_what_was_tempered_is_not_passed_off_as_the_policys_own(small: Policy) -> None:
    first, _ = read(small, choice(0, [8]), choice(1, [9]), temperature=0.5)
    assert first.untempered_logprobs == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_versions": [{"version": "2", "start": 0, "end": 2}]}, "gave it, not of 3 to 4"),
        ({"finish_reason": "abort"}, "finish_reason abort"),
        ({"token_ids": []}, "0 tokens"),
        ({"logprobs": {"content": [{"logprob": -1.0}]}}, "2 tokens, 1 logprobs"),
        ({"logprobs": {"content": [{"logprob": float("nan")}] * 2}}, "not finite"),
        ({"logprobs": None}, "TypeError"),
    ],
)
def test_an_answer_that_is_stale_cut_or_of_no_form_is_refused(
    changes: dict[str, Any], words: str, small: Policy
) -> None:
    with pytest.raises(EndpointError, match=f"http://there: its answer cannot be used.*{words}"):
        read(small, choice(0, [8, 9]), choice(1, [8, 9], **changes))


def test_too_few_completions_are_refused(small: Policy) -> None:
    with pytest.raises(EndpointError, match="1 completions, 2 were asked for"):
        read(small, choice(0, [8, 9]))


def test_without_an_environment_the_command_that_makes_it_is_named(tmp_path: Path) -> None:
    settings = VLLMSettings(environment=str(tmp_path / "none"))
    server = VLLMServer(settings, Launch(settings, "float32", 64, (), 1, tmp_path / "log"))
    with pytest.raises(ModelError, match="is missing; make it with: thinkwright install-vllm"):
        server.start(tmp_path)


def test_a_server_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkwright.rollout.vllm.server.REACH_SECONDS", 1.0)
    server = VLLMServer(VLLMSettings(urls=("http://127.0.0.1:9",), request_seconds=1.0), None, "http://127.0.0.1:9/v1")
    with pytest.raises(EndpointError, match=r"127.0.0.1:9: vLLM did not answer within 1 s \(rollout.vllm.urls\)"):
        server.wait()
    with pytest.raises(EndpointError, match="/pause"):
        server.take_weights(tmp_path, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": {"correction": "band"}}, "algorithm.correction has no effect where the trainer's own"),
        ({"rollout": {"vllm": {}, "slots": 9}}, "slots: no effect where vLLM samples"),
        ({"rollout": {"vllm": {"urls": ["http://a"], "servers": 2}}}, "servers: no effect on servers that are there"),
        (
            {"rollout": {"vllm": {}}, "algorithm": {"correction": "none", "correction_cap": 3.0}},
            "correction_cap has no effect",
        ),
    ],
)
def test_options_without_effect_are_refused(changes: dict[str, Any], words: str) -> None:
    table: dict[str, Any] = {"type": "rl", "model": "m", "task": {"type": "tiny_world"}, "steps": 1}
    with pytest.raises(ValidationError, match=words):
        RLRecipe.model_validate(table | changes)


def test_a_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """However the starter dies: its end of the pipe closes with it."""
    told = tmp_path / "pids"
    child = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    starter = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, "
        "start_new_session=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", starter, str(keeper.__file__), sys.executable, "-c", child])
    deadline = time.monotonic() + 30
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline, "the server was not started"
        time.sleep(0.05)
    server = psutil.Process(int(told.read_text()))
    process.kill()
    process.wait()
    server.wait(30)
    assert not server.is_running()


def test_a_server_that_ends_by_itself_gives_its_status() -> None:
    command = [sys.executable, str(keeper.__file__), sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.wait(30) == 7
