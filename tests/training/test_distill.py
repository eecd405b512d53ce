"""The loss is the one that transformers gives each completion alone, students near teachers, resuming is exact."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.model_folders import write_model_folder
from tests.models.served import serving
from tests.training.served_teacher import vllm_answers
from thinkwright.config.distill import DistillRecipe
from thinkwright.config.endpoint import Endpoint
from thinkwright.display import Display
from thinkwright.errors import EndpointError, TrainingError
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy, load_policy
from thinkwright.rollout.native import NativeEngine
from thinkwright.tasks.prompts import load_task
from thinkwright.training.checkpoint import newest_checkpoint
from thinkwright.training.distill import DistillTrainer
from thinkwright.training.distill_batch import TaughtSample, sample_batches, sample_tree, taught_samples
from thinkwright.training.interrupt import StopRequest
from thinkwright.training.teacher import LocalTeacher, ServedTeacher, Teacher
from thinkwright.types import Rollout

SHORT = {"prompts_per_step": 4, "group_size": 2, "max_response_tokens": 12}
PROMPTS = ((5, 9, 301, 44, 7, 12, 80, 3, 17), (5, 9, 301, 44, 7, 12, 80, 3, 200, 100))
COMPLETIONS = (((1, 2, 3, 4), (9,)), ((10, 11, 12), (7, 8)))


@pytest.fixture
def fresh(model_folder: Callable[[str], Path]) -> Callable[[], Policy]:
    """Makes a student with the weights of the folder."""
    return lambda: load(model_folder("qwen2"))


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another kind of model, wider than the student, with other random weights: smaller ones, easier to learn."""
    folder = tmp_path_factory.mktemp("teacher")
    return write_model_folder(folder, "llama", seed=1, hidden_size=96, initializer_range=0.05)


def load(folder: Path) -> Policy:
    return load_policy(str(folder), device=torch.device("cpu"), dtype=torch.float32)


def make_recipe(**changes: Any) -> DistillRecipe:
    said: dict[str, Any] = {"type": "distill", "model": "m", "teacher": "t", "task": {"type": "tiny_world"}}
    return DistillRecipe.model_validate(said | {"steps": 4, "rollout": SHORT, "lr": 1e-3} | changes)


def make_trainer(recipe: DistillRecipe, student: Policy, teacher: Teacher, folder: Path) -> DistillTrainer:
    task = load_task(recipe.task, recipe.template)
    return DistillTrainer(recipe, student, teacher, task, NativeEngine(student), folder, time.monotonic())


def made_samples() -> list[TaughtSample]:
    pairs = [(p, c) for p, completions in zip(PROMPTS, COMPLETIONS, strict=True) for c in completions]
    return [TaughtSample(p, c, (-1.0,) * len(c), (-1.0,) * len(c)) for p, c in pairs]


def plain_divergences(student: Any, teacher: Any, sample: TaughtSample) -> torch.Tensor:
    """KL at each token of one completion, from one plain, unpadded forward pass of each model."""
    ids, start = torch.tensor([sample.prompt_ids + sample.completion]), len(sample.prompt_ids) - 1
    ours, theirs = (torch.log_softmax(model(ids).logits[0, start:-1], -1) for model in (student, teacher))
    return (ours.exp() * (ours - theirs)).sum(-1)


def plain_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.mark.parametrize("micro_batch_tokens", [1, 20, 10_000])
def test_loss_and_gradient_are_those_of_each_completion_alone(
    micro_batch_tokens: int,
    fresh: Callable[[], Policy],
    model_folder: Callable[[str], Path],
    teacher_folder: Path,
    tmp_path: Path,
) -> None:
    recipe = make_recipe(micro_batch_tokens=micro_batch_tokens, max_grad_norm=1e9)
    trainer = make_trainer(recipe, fresh(), LocalTeacher(load(teacher_folder)), tmp_path)
    grads: dict[str, torch.Tensor] = {}
    # What the update would step with, taken before it steps.
    trainer.optimizer.step = lambda *_: grads.update({n: m.grad for n, m in trainer.optimizer.masters.items()})
    metrics = trainer.update(made_samples(), 1e-3)

    student, teacher = plain_model(model_folder("qwen2")), plain_model(teacher_folder)
    divergences = torch.cat([plain_divergences(student, teacher, sample) for sample in made_samples()])
    assert len(divergences) == 10
    divergences.mean().backward()
    assert metrics["loss/reverse_kl"] == pytest.approx(float(divergences.mean().detach()), abs=1e-5)
    for name, param in student.named_parameters():
        torch.testing.assert_close(grads[name], param.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_micro_batches_keep_order_and_limit_and_compute_a_prompt_once() -> None:
    samples = made_samples()
    shared = 8
    for limit in (1, 14, 18, 10_000):
        batches = list(sample_batches(samples, limit))
        assert [sample for batch in batches for sample in batch] == samples
        for batch in batches:
            prompts = {sample.prompt_ids for sample in batch}
            size = shared + sum(len(p) - shared for p in prompts) + sum(len(s.completion) for s in batch)
            assert size <= limit or len(batch) == 1
    assert len(list(sample_batches(samples, 1))) == 4
    assert len(sample_tree(samples).tokens) == shared + 1 + 2 + sum(len(s.completion) - 1 for s in samples)


def test_truncated_completions_are_kept_and_ids_that_the_teacher_lacks_end_one() -> None:
    def rollout(ids: tuple[int, ...], reason: Any) -> Rollout:
        values = tuple(-float(i) for i in ids)
        return Rollout(ids, values, tuple(2 * v for v in values), (False,) * len(ids), "", reason, 0)

    found = taught_samples((1,), [rollout((2, 3), "length"), rollout((4, 9, 5), "stop"), rollout((9,), "stop")], 9)
    assert found == [TaughtSample((1,), (2, 3), (-2.0, -3.0), (-4.0, -6.0)), TaughtSample((1,), (4,), (-4.0,), (-8.0,))]


def losses_of(trainer: DistillTrainer) -> list[float]:
    return [trainer.run_step(step)["loss/reverse_kl"] for step in range(trainer.recipe.steps)]


def test_a_student_nears_its_teacher(fresh: Callable[[], Policy], teacher_folder: Path, tmp_path: Path) -> None:
    rollout = {"prompts_per_step": 8, "group_size": 4, "max_response_tokens": 12}
    recipe = make_recipe(steps=12, lr=5e-3, rollout=rollout, mini_batches=2)
    losses = losses_of(make_trainer(recipe, fresh(), LocalTeacher(load(teacher_folder)), tmp_path))
    assert losses[-1] < 0.2 * losses[0]


def test_a_student_nears_a_served_teacher(fresh: Callable[[], Policy], teacher_folder: Path, tmp_path: Path) -> None:
    rollout = {"prompts_per_step": 8, "group_size": 8, "max_response_tokens": 8}
    student, local = fresh(), LocalTeacher(load(teacher_folder))
    recipe = make_recipe(steps=10, lr=1e-2, rollout=rollout, mini_batches=2, template="boxed")
    with serving(vllm_answers(teacher_folder)) as url, ServedModel(Endpoint(url=url, name="t")) as model:
        trainer = make_trainer(recipe, student, ServedTeacher(model, student), tmp_path)
        losses = losses_of(trainer)
    # The estimate falls, and so does the exact divergence that it stands for.
    assert losses[-1] < 0.8 * losses[0]
    still = make_recipe(steps=1, lr=1e-9, rollout=rollout, template="boxed")
    before, after = fresh(), fresh()
    after.model.load_state_dict(student.model.state_dict())
    exact = [losses_of(make_trainer(still, policy, local, tmp_path))[0] for policy in (before, after)]
    assert exact[1] < 0.8 * exact[0]


def test_a_teacher_that_is_the_student_leaves_the_weights(fresh: Callable[[], Policy], tmp_path: Path) -> None:
    student = fresh()
    metrics = make_trainer(make_recipe(), student, LocalTeacher(fresh()), tmp_path).run_step(0)
    assert metrics["loss/reverse_kl"] == pytest.approx(0, abs=1e-6)
    assert metrics["optim/grad_norm"] < 1e-4
    assert metrics["rollout/truncated_rate"] > 0


class StopAfter(Display):
    """Asks for a stop once a step is done."""

    def __init__(self, stop: StopRequest, step: int) -> None:
        super().__init__()
        self._stop, self._at = stop, step

    def step(self, step: int, num_steps: int, metrics: dict[str, Any]) -> None:
        self._stop.is_requested = step == self._at


def test_a_stopped_run_goes_on_with_the_same_losses_and_weights(
    fresh: Callable[[], Policy], teacher_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(steps=6, checkpoint_steps=2, mini_batches=2)
    teacher = LocalTeacher(load(teacher_folder))
    whole, resumed, stop = fresh(), fresh(), StopRequest()
    make_trainer(recipe, whole, teacher, tmp_path / "whole").train(StopAfter(StopRequest(), 99), StopRequest())
    make_trainer(recipe, fresh(), teacher, tmp_path / "stopped").train(StopAfter(stop, 2), stop)
    going_on = make_trainer(recipe, resumed, teacher, tmp_path / "stopped")
    going_on.resume(Display())
    assert (going_on.progress.next_step, going_on.progress.policy_version) == (3, 6)
    going_on.train(StopAfter(StopRequest(), 99), StopRequest())

    def recorded(name: str) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if "seconds" not in k and "per_second" not in k} for row in rows]

    assert recorded("stopped") == recorded("whole")
    assert [row["step"] for row in recorded("whole")] == list(range(6))
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_outage_of_the_teacher_leaves_what_was_learned_until_then(
    fresh: Callable[[], Policy], teacher_folder: Path, tmp_path: Path
) -> None:
    student, answer, asked = fresh(), vllm_answers(teacher_folder), []

    def dying(path: str, body: dict[str, Any]) -> Any:
        asked.append(path)
        return answer(path, body) if len(asked) <= 20 else (503, "down")

    recipe = make_recipe(steps=9, checkpoint_steps=9, template="boxed", rollout=SHORT | {"max_response_tokens": 4})
    with serving(dying) as url, ServedModel(Endpoint(url=url, name="t", retries=0)) as model:
        trainer = make_trainer(recipe, student, ServedTeacher(model, student), tmp_path)
        with pytest.raises(EndpointError, match="no reply in 1 tries"):
            trainer.train(Display(), StopRequest())
    found = newest_checkpoint(tmp_path / "checkpoints")
    assert found is not None
    assert found.progress.next_step == len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(
    fresh: Callable[[], Policy], teacher_folder: Path, tmp_path: Path
) -> None:
    student, teacher = fresh(), load(teacher_folder)
    with torch.no_grad():
        next(teacher.model.parameters()).fill_(float("nan"))
    before = [param.clone() for param in student.model.parameters()]
    trainer = make_trainer(make_recipe(), student, LocalTeacher(teacher), tmp_path / "run")
    with pytest.raises(TrainingError, match="not finite"):
        trainer.train(StopAfter(StopRequest(), 99), StopRequest())
    for ours, theirs in zip(student.model.parameters(), before, strict=True):
        assert torch.equal(ours, theirs)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_teachers_words_go_with_their_own_completions(
    fresh: Callable[[], Policy], teacher_folder: Path, tmp_path: Path
) -> None:
    """Dealt out to mini-batches, every sample keeps what the teacher said of it."""

    class Numbering(LocalTeacher):
        def read(self, samples: Any) -> list[TaughtSample]:
            return [replace(s, teacher_logprobs=tuple(map(float, s.completion))) for s in samples]

    trainer = make_trainer(make_recipe(mini_batches=4), fresh(), Numbering(load(teacher_folder)), tmp_path)
    parts = trainer._parts(trainer._sample(0))
    assert [len({sample.prompt_ids for sample in part}) for part in parts] == [1] * 4
    assert all(s.teacher_logprobs == tuple(map(float, s.completion)) for part in parts for s in part)
