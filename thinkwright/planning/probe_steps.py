"""The probe of a recipe that learns from rows, or from a teacher: some of its own steps."""

from statistics import fmean
from typing import NamedTuple

from thinkwright.display import Display
from thinkwright.planning.expected import Expected
from thinkwright.planning.measured import Measured, memory_measured, repeated, timed
from thinkwright.planning.meter import peak_bytes, reset_peak, used_bytes
from thinkwright.run_folder import read_json
from thinkwright.training.reward_model import RewardModelTrainer
from thinkwright.training.sft import SFTTrainer
from thinkwright.training.step_trainer import StepTrainer


def measure_steps(trainer: StepTrainer, display: Display, expected: Expected) -> Measured:
    policy, device = trainer.learner, trainer.learner.device
    trainer.publish()
    opening = trainer.wall_seconds()
    evaluation = timed(lambda: trainer.evaluate(display))
    trainer.run_step(0)  # the first is slower than the others
    standing, first_peak = used_bytes(device), peak_bytes(device)
    reset_peak(device)
    rows: list[dict[str, float]] = []

    def one_more() -> float:
        rows.append(trainer.run_step(len(rows) + 1))
        return rows[-1]["time/step_seconds"]

    repeated(one_more, trainer.ranks, most=max(1, min(40, trainer.num_steps - 1)))
    update_peak = peak_bytes(device)
    sampling = fmean(row.get("time/rollout_seconds", 0.0) for row in rows)
    now = fmean(row.get("rollout/response_tokens", 0.0) for row in rows)
    mean, sampled = expected.response_tokens or now, fmean(row.get("rollout/tokens", 0.0) for row in rows)
    longer = mean / now if now else 1.0
    whole = fmean(row["time/step_seconds"] for row in rows)
    teacher = fmean(row.get("time/teacher_seconds", 0.0) for row in rows)
    counted = _tokens_of(trainer, len(rows))
    if counted is not None:  # the last step of an epoch has fewer rows
        longer = counted.mean / counted.measured
    micro = (counted.measured if counted is not None else sampled) / getattr(trainer.settings, "mini_batches", 1)
    return Measured(
        device=str(device),
        itemsize=policy.dtype.itemsize,
        opening=opening,
        evaluation=evaluation,
        evaluation_later=evaluation * max(1.0, _longer_answers(trainer, mean)),
        saving=timed(trainer.save),
        sampling=longer * sampling,
        update=longer * (whole - sampling - teacher),
        other=longer * teacher,
        num_steps=trainer.num_steps,
        response_tokens=mean,
        response_tokens_now=now,
        learned_share=1.0,
        sampled_tokens=round(longer * sampled),
        learned_tokens=round(counted.mean if counted is not None else longer * sampled),
        micro_tokens=min(trainer.settings.micro_batch_tokens, round(micro)),
        **memory_measured(policy, standing, first_peak, standing, update_peak),
    )


class _Tokens(NamedTuple):
    """Of a step."""

    measured: float
    """Mean of the measured ones."""
    mean: float
    """Of all of the run."""


def _tokens_of(trainer: StepTrainer, measured: int) -> _Tokens | None:
    """Of rows that are there before the run; None of prompts, whose completions are yet to be sampled."""
    if isinstance(trainer, SFTTrainer):
        batch = [trainer.batch(step) for step in range(1, measured + 1)]
        tokens = [len(row.prompt_ids) + len(row.completion_ids) for rows in batch for row in rows]
        every = sum(len(row.prompt_ids) + len(row.completion_ids) for row in trainer.data.training)
        epochs = trainer.recipe.epochs
    elif isinstance(trainer, RewardModelTrainer):
        tokens = [row.num_tokens for step in range(1, measured + 1) for row in trainer.batch(step)]
        every = sum(row.num_tokens for row in trainer.data.training)
        epochs = trainer.recipe.epochs
    else:
        return None
    return _Tokens(sum(tokens) / measured, epochs * every / trainer.num_steps)


def _longer_answers(trainer: StepTrainer, expected: float) -> float:
    """How many times as long the policy's answers to the evaluation become: as the rows are, or as expected."""
    path = trainer.folder / "eval" / "step_000000.json"
    figures = read_json(path)["figures"] if trainer.ranks.is_first and path.exists() else {}
    now = figures.get("mean_response_tokens", 0.0)
    if isinstance(trainer, SFTTrainer):
        written = fmean(len(row.completion_ids) for row in trainer.data.training)
        expected = min(written, trainer.recipe.evaluation.max_response_tokens)
    return expected / now if now else 1.0
