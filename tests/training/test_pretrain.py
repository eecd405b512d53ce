"""Pre-training learns, and a stopped run goes on exactly."""

import json
import time
from pathlib import Path

import pytest
import torch

from thinkwright.config.recipe import ModelShape, PretrainRecipe
from thinkwright.display import Display
from thinkwright.models.policy import Policy
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.pretrain import PretrainTrainer, starting_policy

RECIPE = PretrainRecipe(
    type="pretrain", steps=6, documents_per_step=16, warmup_steps=2, checkpoint_steps=3, model=ModelShape(num_layers=1)
)


class StopAfter(Display):
    """Asks for a stop once a step is done."""

    def __init__(self, stop: StopRequest, step: int) -> None:
        super().__init__()
        self._stop, self._at = stop, step

    def step(self, step: int, num_steps: int, metrics: dict[str, float]) -> None:
        self._stop.is_requested = step == self._at


def fresh_policy() -> Policy:
    return starting_policy(RECIPE, torch.device("cpu"), torch.float32)


def trainer_of(policy: Policy, folder: Path) -> PretrainTrainer:
    return PretrainTrainer(RECIPE, policy, folder, time.monotonic(), lambda display: None)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss/nll"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module", autouse=True)
def small_tokenizer_sample() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thinkwright.training.pretrain.TOKENIZER_DOCUMENTS", 2000)
        yield


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_same_losses_and_weights(tmp_path: Path) -> None:
    whole, stopped = (
        fresh_policy(),
        fresh_policy(),
    )
    trainer_of(whole, tmp_path / "whole").train(StopAfter(StopRequest(), 99), StopRequest())
    stop = StopRequest()
    trainer_of(stopped, tmp_path / "stopped").train(StopAfter(stop, 2), stop)
    resumed = fresh_policy()
    trainer = trainer_of(resumed, tmp_path / "stopped")
    trainer.resume(Display())
    assert trainer.progress.next_step == 3
    trainer.train(StopAfter(StopRequest(), 99), StopRequest())
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert losses(tmp_path / "whole")[-1] < losses(tmp_path / "whole")[0]
