"""A reward model learns what people preferred; its gradients do not depend on how rows are packed."""

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.preference_files import Row, make_pairs, make_singles, write_pairs
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.display import Display
from thinkwright.errors import TrainingError
from thinkwright.models.reward_model import Reading, start_reward_model
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.preference_data import load_preference_data
from thinkwright.training.reward_model import RewardModelTrainer

Make = Callable[..., RewardModelTrainer]


@pytest.fixture
def make(model_folder: Callable[[str], Path], tmp_path: Path) -> Make:
    """A trainer into a folder of the given name."""
    folder = str(model_folder("qwen2"))

    def build(name: str, rows: list[Row], loss: str = "pairwise", **settings: Any) -> RewardModelTrainer:
        path = write_pairs(tmp_path / "pairs.jsonl", rows)
        given = {"type": "reward_model", "model": folder, "data": (str(path),), "reads": "summary", "loss": loss}
        given |= {"max_tokens": 1024, "batch_size": 16, "lr": 1e-3, "held_out_share": 0.2}
        recipe = RewardModelRecipe.model_validate(given | settings)
        reading = Reading("think_summary", "summary", loss)
        model = start_reward_model(folder, reading, device=torch.device("cpu"), dtype=torch.float32, seed=0)
        return RewardModelTrainer(recipe, model, load_preference_data(recipe, model), tmp_path / name, monotonic())

    return build


def train(trainer: RewardModelTrainer) -> list[dict[str, Any]]:
    """Run it through; the figures of its evaluations in order."""
    with Display() as display, StopRequest() as stop:
        trainer.train(display, stop)
    return [json.loads(path.read_text())["figures"] for path in sorted((trainer.folder / "eval").glob("step_*.json"))]


@pytest.mark.parametrize(("loss", "rows"), [("pairwise", make_pairs(60)), ("pointwise", make_singles(80))])
def test_it_learns_a_rule(loss: str, rows: list[Row], make: Make) -> None:
    trainer = make("r", rows, loss, epochs=8)
    before, after = train(trainer)
    assert after["held_out_accuracy"] == 1.0
    assert before["held_out_accuracy"] < 0.9
    scores = trainer.model.scores([("Is 500 + 500 even?", None, text) for text in ("well yes", "well no")])
    assert scores[0] > scores[1]
    mean, deviation = trainer.scale()
    held_out = [
        s for pair in trainer.score(trainer.data.held_out) for s in (pair.chosen, pair.rejected) if s is not None
    ]
    assert mean == pytest.approx(sum(held_out) / len(held_out))
    assert deviation > 0


@pytest.mark.parametrize(("loss", "rows"), [("pairwise", make_pairs(30)), ("pointwise", make_singles(30))])
def test_gradients_of_packed_pairs_equal_those_one_by_one(loss: str, rows: list[Row], make: Make) -> None:
    found: list[tuple[float, dict[str, Tensor]]] = []
    for tokens in (8192, 1, 300):
        trainer = make("r", rows, loss, micro_batch_tokens=tokens)
        value = trainer._backward(trainer.data.training, trainer.micro_batch.tokens)
        found.append((value, {n: m.grad for n, m in trainer.optimizer.masters.items() if m.grad is not None}))
    (whole, gradients), *others = found
    assert "score.weight" in gradients
    assert len(gradients) > 10
    for value, other in others:
        assert value == pytest.approx(whole, rel=1e-5)
        assert other.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert (other[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name


def test_the_loss_is_that_of_transformers_scores(make: Make) -> None:
    trainer = make("r", make_pairs(20))
    scored = trainer.score(trainer.data.training)
    margins = torch.tensor([pair.chosen - pair.rejected for pair in scored if pair.chosen and pair.rejected])
    assert len(margins) == len(trainer.data.training)
    assert trainer._backward(trainer.data.training, trainer.micro_batch.tokens) == pytest.approx(
        float(-torch.nn.functional.logsigmoid(margins).mean()), rel=1e-5
    )


def test_a_resumed_run_goes_on_bit_for_bit(make: Make) -> None:
    settings: dict[str, Any] = {"epochs": 3, "checkpoint_steps": 2, "evaluation": {"every_steps": 2}}
    whole, cut = make("whole", make_pairs(60), **settings), make("cut", make_pairs(60), **settings)
    assert whole.num_steps > 7
    train(whole)
    with Display() as display:
        for step in range(5):  # the checkpoint is of step 4
            cut.run_step(step)
            if cut.progress.next_step % 2 == 0:
                cut.save()
        cut.evaluate(display)  # of step 5: dropped again
    again = make("cut", make_pairs(60), **settings)
    again.resume(Display())
    assert again.progress.next_step == 4
    train(again)
    pairs = zip(whole.model.policy.model.parameters(), again.model.policy.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    last = f"eval/step_{whole.num_steps:06d}.json"
    assert (whole.folder / last).read_text() == (again.folder / last).read_text()
    assert not (again.folder / "eval" / "step_000005.json").exists()


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(make: Make) -> None:
    trainer = make("r", make_pairs(20))
    with torch.no_grad():
        trainer.model.policy.model.score.weight[0, 0] = float("nan")
    before = {name: master.clone() for name, master in trainer.optimizer.masters.items()}
    with pytest.raises(TrainingError, match="not finite; weights left as they were: begin another run with a lower lr"):
        trainer.run_step(0)
    after = trainer.optimizer.masters
    assert all(torch.equal(before[n], after[n]) for n in before if n != "score.weight")
    assert all(master.grad is None for master in after.values())
    assert trainer.progress.next_step == 0
