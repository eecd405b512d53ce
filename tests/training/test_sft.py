"""The loss is the one that transformers gives each row alone, learning works, and a stopped run goes on exactly."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training.sft_files import make_rows, write_rows
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.sft import SFTRecipe
from thinkwright.display import Display
from thinkwright.errors import TrainingError
from thinkwright.models.policy import Policy, load_policy
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.sft import SFTTrainer, epoch_order, packed_rows
from thinkwright.training.sft_data import SFTData, SFTRow, load_sft_data
from thinkwright.training.step_trainer import cosine_rate
from thinkwright.training.supervised import backward, mean_loss


@pytest.fixture
def fresh(model_folder: Callable[[str], Path]) -> Callable[[], Policy]:
    """Makes a policy with the weights of the folder."""
    return lambda: load_policy(str(model_folder("qwen2")), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def data_of(tmp_path: Path) -> Callable[..., SFTData]:
    def load(policy: Policy, count: int, template: str = "think_summary", share: float = 0.0) -> SFTData:
        path = write_rows(tmp_path / "rows.jsonl", make_rows(count))
        return load_sft_data([str(path)], TEMPLATES[template], policy, max_tokens=1000, held_out_share=share)

    return load


def make_recipe(**changes: Any) -> SFTRecipe:
    said = {"type": "sft", "model": "m", "data": ("rows.jsonl",), "held_out_share": 0.0, "lr": 1e-3, **changes}
    return SFTRecipe.model_validate(said)


def plain_losses(model: torch.nn.Module, row: SFTRow) -> torch.Tensor:
    """-log p of each completion token, the row alone under transformers' own attention."""
    prompt, completion = list(row.prompt_ids), list(row.completion_ids)
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    return -torch.log_softmax(logits, -1).gather(-1, torch.tensor(completion)[:, None])[:, 0]


@pytest.mark.parametrize("micro_batch_tokens", [1, 150, 100_000])
@pytest.mark.parametrize("template", ["think_summary", "boxed", "no common beginning"])
def test_loss_and_gradient_are_those_of_each_completion_alone(
    template: str,
    micro_batch_tokens: int,
    fresh: Callable[[], Policy],
    data_of: Callable[..., SFTData],
    model_folder: Callable[[str], Path],
) -> None:
    policy = fresh()
    rows = data_of(policy, 6, "boxed" if template == "no common beginning" else template).training
    if template == "no common beginning":
        rows = tuple(SFTRow(row.prompt_ids[i:], row.completion_ids) for i, row in enumerate(rows))
    prefix, packed = packed_rows(rows)
    assert bool(prefix) == (template != "no common beginning")
    loss = backward(policy, prefix, packed, micro_batch_tokens)
    assert mean_loss(policy, prefix, packed, micro_batch_tokens) == pytest.approx(loss, abs=1e-6)

    plain = AutoModelForCausalLM.from_pretrained(
        model_folder("qwen2"), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    losses = torch.cat([plain_losses(plain, row) for row in rows])
    assert len(losses) == sum(len(row.completion_ids) for row in rows)
    losses.mean().backward()
    assert loss == pytest.approx(float(losses.mean().detach()), abs=1e-5)
    for (name, ours), theirs in zip(policy.model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_one_row_alone_has_no_token_of_its_prompt_in_the_loss(
    fresh: Callable[[], Policy], data_of: Callable[..., SFTData]
) -> None:
    _, packed = packed_rows(data_of(fresh(), 1).training)
    tokens, num_read = packed[0]
    assert num_read == 1
    assert len(tokens) - num_read == len(data_of(fresh(), 1).training[0].completion_ids)


def test_thirty_steps_on_eight_rows_learn_them_by_heart(
    fresh: Callable[[], Policy], data_of: Callable[..., SFTData], tmp_path: Path
) -> None:
    policy = fresh()
    recipe = make_recipe(epochs=30, batch_size=8, lr=5e-3)
    trainer = SFTTrainer(recipe, policy, data_of(policy, 8), tmp_path / "run", time.monotonic())
    losses = [trainer.run_step(step)["loss/nll"] for step in range(trainer.num_steps)]
    assert len(losses) == 30
    assert losses[0] > 4
    assert losses[-1] < 0.1 * losses[0]


class StopAfter(Display):
    """Asks for a stop once a step is done."""

    def __init__(self, stop: StopRequest, step: int) -> None:
        super().__init__()
        self._stop, self._at = stop, step

    def step(self, step: int, num_steps: int, metrics: dict[str, float]) -> None:
        self._stop.is_requested = step == self._at


@pytest.mark.parametrize("stop_after", [0, 3])
def test_a_stopped_run_goes_on_with_the_same_losses_and_weights(
    stop_after: int, fresh: Callable[[], Policy], data_of: Callable[..., SFTData], tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=2, batch_size=6, checkpoint_steps=2, held_out_share=0.2, evaluation={"every_steps": 2})

    def trainer(policy: Policy, name: str) -> SFTTrainer:
        return SFTTrainer(recipe, policy, data_of(policy, 24, share=0.2), tmp_path / name, time.monotonic())

    whole, resumed, stop = fresh(), fresh(), StopRequest()
    trainer(whole, "whole").train(StopAfter(StopRequest(), 99), StopRequest())
    trainer(fresh(), "stopped").train(StopAfter(stop, stop_after), stop)
    going_on = trainer(resumed, "stopped")
    going_on.resume(Display())
    assert going_on.progress.next_step == stop_after + 1
    going_on.train(StopAfter(StopRequest(), 99), StopRequest())

    def recorded(name: str) -> tuple[list[dict[str, float]], dict[str, str]]:
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        kept = [{k: v for k, v in row.items() if "seconds" not in k and "per_second" not in k} for row in rows]
        return kept, {path.name: path.read_text() for path in (tmp_path / name / "eval").iterdir()}

    assert recorded("stopped") == recorded("whole")
    rows, evaluations = recorded("whole")
    assert [row["step"] for row in rows] == list(range(going_on.num_steps))
    assert sorted(evaluations) == [f"step_{step:06d}.json" for step in range(0, going_on.num_steps + 1, 2)]
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_epoch_takes_every_row_once_in_an_order_of_its_own(
    fresh: Callable[[], Policy], data_of: Callable[..., SFTData], tmp_path: Path
) -> None:
    policy = fresh()
    data = data_of(policy, 11)
    trainer = SFTTrainer(make_recipe(epochs=2, batch_size=4), policy, data, tmp_path, time.monotonic())
    assert (trainer.steps_per_epoch, trainer.num_steps) == (3, 6)
    epochs = [[row for step in steps for row in trainer.batch(step)] for steps in ((0, 1, 2), (3, 4, 5))]
    assert [len(trainer.batch(step)) for step in range(6)] == [4, 4, 3, 4, 4, 3]
    places = [[data.training.index(row) for row in rows] for rows in epochs]
    assert sorted(places[0]) == sorted(places[1]) == list(range(11))
    assert places[0] != places[1]
    assert epoch_order(0, 0, 11) != epoch_order(1, 0, 11)


def test_the_rate_rises_linearly_and_falls_along_a_cosine_to_its_share() -> None:
    rates = [cosine_rate(step, 12, 1.0, 3, 0.1) for step in range(12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[7] == pytest.approx(0.55)  # half way between steps 3 and 11
    assert rates[5] == pytest.approx(0.1 + 0.9 * (1 + 2**-0.5) / 2)
    assert rates[11] == pytest.approx(0.1)
    assert cosine_rate(0, 1, 2.0, 0, 0.1) == 2.0


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(
    fresh: Callable[[], Policy], data_of: Callable[..., SFTData], tmp_path: Path
) -> None:
    policy = fresh()
    trainer = SFTTrainer(make_recipe(), policy, data_of(policy, 4), tmp_path / "run", time.monotonic())
    with torch.no_grad():
        next(policy.model.parameters()).fill_(float("nan"))
    before = [param.clone() for param in policy.model.parameters()]
    with pytest.raises(TrainingError, match="not finite"):
        trainer.train(StopAfter(StopRequest(), 99), StopRequest())
    for ours, theirs in zip(policy.model.parameters(), before, strict=True):
        assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())
    assert not (tmp_path / "run" / "checkpoints").exists()
