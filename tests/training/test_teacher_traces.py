"""A teacher's traces in the groups: which prompts have one, what a run learns from it, and what it leaves out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.compare_algorithms import write_traces
from tests.training_groups import training_group, with_members
from thinkwright.cli import main
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.teacher_traces import TeacherTraces as Settings
from thinkwright.errors import DataError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.run_folder import read_rollouts
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.teacher_traces import TeacherTraces
from thinkwright.training.update import Updater
from thinkwright.types import TrainingGroup

pytestmark = pytest.mark.usefixtures("few_held_out")
CPU = torch.device("cpu")
GROUP = training_group(
    (5, 9, 301),
    ((1, 2, 3, 4), (9, 8), (7, 6, 5)),
    ((-3.0, -2.5, -4.0, -1.0), (-2.0, -6.0), (0.0, 0.0, 0.0)),
    (0.5, -1.0, 1.0),
    is_taught=(False, False, True),
)
METHODS: list[dict[str, Any]] = [
    {},
    {"loss": "cispo"},
    {"loss": "sapo"},
    {"kl": "k3_unbiased"},
    {"entropy": "bonus"},
    {"entropy": "kl_cov"},
    {"entropy": "clip_cov"},
    {"entropy": "high_entropy"},
]


def gradients(
    folder: Path, group: TrainingGroup, micro: int, **algorithm: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    policy, reference = (load_policy(str(folder), device=CPU, dtype=torch.float32) for _ in range(2))
    with torch.no_grad():
        for param in reference.model.parameters():
            param.mul_(1.1)
    optimizer = MasterOptimizer(policy.model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    settings = Algorithm.model_validate({"kl_coef": 0.3} | algorithm)
    updater = Updater(policy, reference, optimizer, settings, 1.0, micro, max_tokens=64, trace_shaping=0.1)
    seen: dict[str, Any] = {}
    optimizer.step = lambda *_: seen.update({n: m.grad.clone() for n, m in optimizer.masters.items()})  # type: ignore[method-assign]
    return updater.update([group], lr=1e-3, max_grad_norm=1e9), seen


def test_a_trace_adds_its_shaped_loss_and_nothing_else(model_folder: Callable[[str], Path]) -> None:
    folder = model_folder("qwen2")
    _, whole = gradients(folder, GROUP, 10_000)
    _, without = gradients(folder, with_members(GROUP, advantages=(0.5, -1.0, 0.0)), 10_000)
    policy = load_policy(str(folder), device=CPU, dtype=torch.float32)
    prompt, trace = GROUP.prompt_ids, GROUP.completions[2]
    logits = policy.model.get_output_embeddings()(
        policy.hidden_states(*_row(prompt + trace), _plain_context(prompt + trace))[0]
    )
    probs = torch.log_softmax(logits[len(prompt) - 1 : -1], -1).gather(-1, torch.tensor(trace)[:, None])[:, 0].exp()
    (-(probs / (probs + 0.1)).sum() / 9).backward()
    for name, param in policy.model.named_parameters():
        torch.testing.assert_close(whole[name] - without[name], param.grad, atol=1e-5, rtol=1e-4, msg=name)


def _row(ids: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([ids]), torch.arange(len(ids))[None]


def _plain_context(ids: tuple[int, ...]) -> Any:
    from thinkwright.models.policy import training_context
    from thinkwright.models.token_tree import pack_rows

    return training_context(pack_rows([ids], 0), CPU)


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: "-".join(settings.values()) or "clip")
def test_a_trace_is_no_part_of_kl_entropy_and_what_is_told_of_the_policy(
    model_folder: Callable[[str], Path], settings: dict[str, Any]
) -> None:
    folder = model_folder("qwen2")
    with_trace, _ = gradients(folder, with_members(GROUP, advantages=(0.5, -1.0, 0.0)), 10_000, **settings)
    other = with_members(GROUP, token_ids=(*GROUP.completions[:2], (11, 12, 13)), advantages=(0.5, -1.0, 0.0))
    same, _ = gradients(folder, other, 10_000, **settings)
    told = ("policy/kl", "policy/entropy", "policy/clip_fraction", "policy/logprob_gap", "loss/policy", "loss/total")
    assert {name: same[name] for name in told} == pytest.approx({name: with_trace[name] for name in told}, abs=1e-5)
    assert same["policy/trace_probability"] != with_trace["policy/trace_probability"]


@pytest.mark.parametrize("settings", METHODS[:-1], ids=lambda settings: "-".join(settings.values()) or "clip")
def test_traces_have_one_gradient_however_an_update_is_cut(
    model_folder: Callable[[str], Path], settings: dict[str, Any]
) -> None:
    (told, whole), (told_cut, cut) = (gradients(model_folder("qwen2"), GROUP, n, **settings) for n in (10_000, 1))
    assert told == pytest.approx(told_cut, abs=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_a_run_learns_from_traces_and_tells_its_own_completions_apart(tmp_path: Path) -> None:
    write_traces(tmp_path / "traces.jsonl", seed=0, steps=1, prompts_per_step=8)
    small = ["steps=2", "rollout.prompts_per_step=8", "rollout.group_size=4", "gate=default"]
    small += ["optimizer.warmup_steps=0", "evaluation.samples_per_question=1", "alarms=default", "machine.threads=1"]
    traces = f'teacher_traces.data=["{tmp_path / "traces.jsonl"}"]'
    assert main(["run", "tiny/r1-zero", *small, traces, "--out", str(tmp_path / "run")]) == 0
    groups, later = (read_rollouts(tmp_path / "run" / "rollouts" / f"step_00000{i}.jsonl.zst") for i in (0, 1))
    taught = [[member for member in group["members"] if member["rollout"]["is_taught"]] for group in groups]
    assert [len(group["members"]) for group in groups] == [5] * 8
    assert all(len(members) == 1 and members[0]["scores"] == {"accuracy": 1.0, "format": 1.0} for members in taught)
    assert [len(group["members"]) for group in later] == [4] * 8  # these questions have no trace
    rows = metrics(tmp_path / "run")
    drawn = [member for group in groups for member in group["members"] if not member["rollout"]["is_taught"]]
    assert rows[0]["reward/accuracy"] == pytest.approx(sum(m["scores"]["accuracy"] for m in drawn) / 32)
    assert rows[0]["rollout/tokens"] == sum(len(m["rollout"]["token_ids"]) for m in drawn)
    assert 0 < rows[0]["policy/trace_probability"] < 1
    assert "policy/trace_probability" not in rows[1]
    assert [row["rollout/traces"] for row in rows] == [8, 0]
    assert json.loads((tmp_path / "run" / "data.json").read_text())["teacher_traces"]["used"] == 8


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_nothing_is_learned_from_a_trace_that_the_rules_find_wrong(tmp_path: Path) -> None:
    write_traces(tmp_path / "right.jsonl", seed=0, steps=1, prompts_per_step=4)
    rows = [
        json.loads(line) | {"answer": "no such thing"} for line in (tmp_path / "right.jsonl").read_text().splitlines()
    ]
    (tmp_path / "wrong.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = ["steps=1", "rollout.prompts_per_step=4", "rollout.group_size=4", "gate=default"]
    small += ["optimizer.warmup_steps=0", "evaluation.samples_per_question=1", "rewards.max_error_share=0.0"]
    small += ["machine.threads=1"]
    traces = f'teacher_traces.data=["{tmp_path / "wrong.jsonl"}"]'
    assert main(["run", "tiny/r1-zero", *small, traces, "--out", str(tmp_path / "run")]) == 0
    groups = read_rollouts(tmp_path / "run" / "rollouts" / "step_000000.jsonl.zst")
    taught = [member for group in groups for member in group["members"] if member["rollout"]["is_taught"]]
    assert [(member["outcome"], member["advantage"]) for member in taught] == [("skipped", None)] * 4
    assert "policy/trace_probability" not in metrics(tmp_path / "run")[0]
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    told = next(event for event in events if event["event"] == "set_aside")
    assert told["examples"][0]["detail"] == "teacher_traces: the rules find this trace wrong"


def loaded(path: Path, **changes: Any) -> TeacherTraces:
    policy = load_policy(resolve_model_name("tiny-base"), device=CPU, dtype=torch.float32)
    settings = Settings(data=(str(path),))
    return TeacherTraces(settings, "r1_zero", policy, (), **{"max_tokens": 192} | changes)


def test_traces_that_no_prompt_asks_for_or_that_are_too_long_are_refused(tmp_path: Path) -> None:
    write_traces(tmp_path / "traces.jsonl", seed=0, steps=1, prompts_per_step=4)
    traces = loaded(tmp_path / "traces.jsonl")
    with pytest.raises(DataError, match="none of 4 traces answers one of the task's 1 prompts"):
        traces.check([(1, 2, 3)])
    with pytest.raises(DataError, match=r"all 4 traces are over rollout\.max_response_tokens = 3; raise it"):
        loaded(tmp_path / "traces.jsonl", max_tokens=3)
    assert traces.notes() == ["teacher traces: 4 prompts have one"]
