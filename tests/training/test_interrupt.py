"""Signals in a run: what is finished, what is cut short, and what a step that cannot be learned from leaves."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from tests.training_groups import training_group, with_members
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.display import Display
from thinkwright.errors import TrainingError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.run_folder import read_rollouts
from thinkwright.tasks.prompts import load_task
from thinkwright.training.checkpoint import newest_checkpoint
from thinkwright.training.interrupt import CutShort, StopRequest
from thinkwright.training.rl import RLTrainer
from thinkwright.types import Rollout

pytestmark = pytest.mark.usefixtures("few_held_out")


def send(number: signal.Signals) -> None:
    """To this process, and let the handler run."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


def test_sigterm_cuts_short_only_where_it_may() -> None:
    with StopRequest() as stop:
        send(signal.SIGTERM)
        assert (stop.is_requested, stop.stopped_by) == (True, "SIGTERM")
        with pytest.raises(CutShort), stop.cutting():
            pytest.fail("what is cut short is not begun")
    reached: list[str] = []
    with StopRequest() as stop:
        try:
            with stop.cutting():
                send(signal.SIGTERM)
                reached.append("the end")
        except CutShort:
            reached.append("cut")
    assert reached == ["cut"]


def test_ctrl_c_lets_the_step_end_and_a_second_one_ends_at_once() -> None:
    with StopRequest() as stop:
        with stop.cutting():
            send(signal.SIGINT)
        assert (stop.is_requested, stop.stopped_by) == (True, "SIGINT")
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_sigterm_may_come_more_than_once() -> None:
    with StopRequest() as stop:
        for _ in range(3):
            send(signal.SIGTERM)
        assert stop.stopped_by == "SIGTERM"
    with StopRequest() as stop:
        send(signal.SIGINT)
        send(signal.SIGTERM)  # now there is less time
        assert stop.stopped_by == "SIGTERM"


def test_after_the_block_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


class EngineInStep(NativeEngine):
    """Does something in the middle of a step's sampling."""

    then: Callable[[int], object]

    def stream(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings
    ) -> Iterator[tuple[int, tuple[Rollout, ...]]]:
        for number, found in enumerate(super().stream(requests, settings)):
            if number == 1:
                self.then(settings.step)
            yield found


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1) as found:
        yield found


def trainer_of(pool: WorkerPool, folder: Path, then: Callable[[int], object], *overrides: str) -> RLTrainer:
    sizes = ["steps=4", "rollout.prompts_per_step=4", "rollout.group_size=4", "evaluation.samples_per_question=1"]
    recipe = load_recipe("tiny/r1-zero", [*sizes, "evaluation.every_steps=99", "optimizer.warmup_steps=0", *overrides])
    assert isinstance(recipe, RLRecipe)
    policy = load_policy(resolve_model_name(recipe.model), device=torch.device("cpu"), dtype=torch.float32)
    engine = EngineInStep(policy)
    engine.then = then
    return RLTrainer(recipe, policy, load_task(recipe.task), pool, engine, folder, time.monotonic())


def rows(folder: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/") and "per_second" not in k} for row in found]


def test_sampling_that_is_cut_short_costs_its_step_alone_and_is_made_again(pool: WorkerPool, tmp_path: Path) -> None:
    cut = trainer_of(pool, tmp_path / "cut", lambda step: send(signal.SIGTERM) if step == 2 else None)
    with StopRequest() as stop:
        cut.train(Display(is_shown=False), stop)
    assert [row["step"] for row in rows(tmp_path / "cut")] == [0, 1]
    found = newest_checkpoint(tmp_path / "cut" / "checkpoints")
    assert found is not None
    assert found.progress.next_step == 2
    again = trainer_of(pool, tmp_path / "cut", lambda _: None)
    again.resume(Display(is_shown=False))
    again.train(Display(is_shown=False), StopRequest())
    whole = trainer_of(pool, tmp_path / "whole", lambda _: None)
    whole.train(Display(is_shown=False), StopRequest())
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    for name, value in again.optimizer.tensors().items():
        assert torch.equal(value, whole.optimizer.tensors()[name]), name


def test_a_last_evaluation_that_is_cut_short_is_made_by_the_resumed_run(pool: WorkerPool, tmp_path: Path) -> None:
    def cut_the_last(step: int) -> None:
        if (tmp_path / "cut" / "metrics.jsonl").exists() and len(rows(tmp_path / "cut")) == 4:
            send(signal.SIGTERM)

    cut = trainer_of(pool, tmp_path / "cut", cut_the_last)
    with StopRequest() as stop:
        cut.train(Display(is_shown=False), stop)
    assert (cut.progress.next_step, cut.is_done) == (4, False)
    assert not (tmp_path / "cut" / "eval" / "step_000004.json").exists()
    again = trainer_of(pool, tmp_path / "cut", lambda _: None)
    again.resume(Display(is_shown=False))
    again.train(Display(is_shown=False), StopRequest())
    assert again.is_done
    assert (tmp_path / "cut" / "eval" / "step_000004.json").exists()
    assert len(rows(tmp_path / "cut")) == 4


def test_a_step_that_is_not_finite_leaves_its_rollouts_and_no_checkpoint(pool: WorkerPool, tmp_path: Path) -> None:
    weights: list[torch.Tensor] = []

    def poison(step: int) -> None:
        if step == 2:
            with torch.no_grad():
                weights[0].fill_(float("nan"))

    broken = trainer_of(pool, tmp_path, poison)
    assert broken.reference is not None
    weights += broken.reference.model.parameters()
    with pytest.raises(TrainingError) as caught:
        broken.train(Display(is_shown=False), StopRequest())
    text = str(caught.value)
    path = tmp_path / "failed" / "step_000002.jsonl.zst"
    assert f"The step's rollouts are in {path}; no checkpoint of it is written" in text
    assert "is finite by itself, so it is the gradient that is not" in text
    assert len(read_rollouts(path)) == 4
    assert [row["step"] for row in rows(tmp_path)] == [0, 1]
    assert not list((tmp_path / "checkpoints").glob("step_000003"))


def test_the_completions_that_are_not_finite_are_named(pool: WorkerPool, tmp_path: Path) -> None:
    broken = trainer_of(
        pool, tmp_path, lambda _: None, "algorithm.kl_coef=0", "algorithm.reference_refresh_steps=default"
    )
    whole = training_group((5, 9, 301), ((1, 2), (9, 8)), ((-3.0, -2.5), (-2.0, -6.0)), (1.0, -1.0))
    bad = with_members(whole, rollout_logprobs=((-3.0, -2.5), (float("nan"), -6.0)))
    with pytest.raises(TrainingError, match=r"not finite for 1 completions .*: group 2 \('.*'\), completion 2"):
        broken.learn(0, [whole, whole, bad, whole])  # every second group is one mini-batch
