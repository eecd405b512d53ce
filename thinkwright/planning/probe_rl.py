"""The probe of an RL recipe: a step as it would be made, and one whose completions have the expected lengths."""

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from thinkwright.display import Display
from thinkwright.errors import RecipeError
from thinkwright.planning.expected import Expected, planned_lengths
from thinkwright.planning.measured import Measured, memory_measured, repeated, timed
from thinkwright.planning.meter import peak_bytes, reset_peak, used_bytes
from thinkwright.training.groups import mini_batches
from thinkwright.training.rl import RLTrainer
from thinkwright.training.teacher_traces import drawn_alone
from thinkwright.training.update import micro_batches, tree_of
from thinkwright.types import Metrics, RolloutGroup, TrainingGroup


class _PlannedStep:
    """A step whose completions have the expected lengths: they do not end by themselves, and what they are worth is
    made up, since their text says nothing."""

    def __init__(self, trainer: RLTrainer, groups: list[RolloutGroup], expected: Expected) -> None:
        self._trainer, rollout = trainer, trainer.recipe.rollout
        self.micro = trainer.recipe.optimizer.micro_batch_tokens
        now = [[len(member.rollout.token_ids) for member in group.members] for group in drawn_alone(groups)]
        mean = expected.response_tokens or fmean(length for group in now for length in group)
        self._lengths = planned_lengths(
            expected.lengths or now, rollout.prompts_per_step, rollout.group_size, mean, rollout.max_response_tokens
        )
        taught = fmean(any(member.advantage is not None for member in group.members) for group in groups)
        self.share = taught if expected.learned_share is None else expected.learned_share
        if self.share == 0:
            raise RecipeError(
                "no group of the first step teaches anything, so no update can be measured; say how many will: "
                "--learned-share S"
            )
        self._num_sampled = 0
        self._sampled: list[RolloutGroup] = []
        self._taught: list[RolloutGroup] = []
        self.learned: Sequence[TrainingGroup] = []

    def sample(self) -> float:
        """Seconds; what was sampled is scored meanwhile, as in a run."""
        trainer, start = self._trainer, time.monotonic()
        self._num_sampled += 1
        prompts = trainer.sampler.prompts(self._num_sampled)
        num_ruled, share = sum(trainer.sampling_ranks.gather(len(prompts.by_rule))), trainer.sampling_ranks.share
        lengths = [*share(self._lengths[:num_ruled]), *share(self._lengths[num_ruled:])]
        found = trainer.sampler.rollouts(self._num_sampled, replace(prompts, lengths=lengths))
        by_rule = trainer.sampling_ranks.joined(found.by_rule)
        self._sampled = [*by_rule, *(group for of_set in trainer.judged(found.to_judge).values() for group in of_set)]
        seconds = time.monotonic() - start
        count = max(1, round(self.share * len(self._sampled)))
        self._taught = [_taught(group) for group in self._sampled[:count]]
        return seconds

    def learn(self) -> float:
        """Seconds; the engine is given the new weights."""
        start, trainer = time.monotonic(), self._trainer
        _, self.learned, _ = trainer.advantages(self._taught)
        if not self.learned:
            raise RecipeError(
                "algorithm.advantage: rewards of 0 and 1 in turns teach nothing, so no update is measured"
            )
        trainer.learn(1, self.learned)
        return time.monotonic() - start

    def completions(self) -> list[tuple[int, ...]]:
        return [m.rollout.token_ids for group in drawn_alone(self._sampled) for m in group.members]

    def parts(self) -> list[list[TrainingGroup]]:
        """The mini-batches."""
        return mini_batches(self.learned, self._trainer.recipe.algorithm.mini_batches)


def _taught(group: RolloutGroup) -> RolloutGroup:
    """The group with every other member right, none of them cut off."""
    members = (
        replace(member, rollout=replace(member.rollout, finish_reason="stop"), reward=float(i % 2), outcome="graded")
        for i, member in enumerate(group.members)
    )
    return replace(group, members=tuple(members))


def measure_rl(trainer: RLTrainer, display: Display, expected: Expected) -> Measured:
    policy, device = trainer.policy, trainer.policy.device
    trainer.sample_in_turns()
    trainer.publish()
    opening = trainer.wall_seconds()
    evaluation = timed(lambda: trainer.evaluate(display))
    metrics, groups = trainer.run_step(0)
    recording = _recorded(trainer, metrics, groups, display)
    step = _PlannedStep(trainer, groups, expected)
    standing, first_peak = used_bytes(device), peak_bytes(device)
    peaks: dict[str, int] = {"sample": 0, "learn": 0}
    seconds: dict[str, list[float]] = {"sample": [], "learn": []}

    def one_more() -> float:
        for name, make in (("sample", step.sample), ("learn", step.learn)):
            reset_peak(device)
            seconds[name].append(make())
            peaks[name] = max(peaks[name], peak_bytes(device))
        return seconds["sample"][-1] + seconds["learn"][-1]

    repeated(one_more, trainer.ranks)
    names = ("time/rollout_seconds", "time/reward_seconds", "time/update_seconds")
    rollout_seconds, reward_seconds, update_seconds = (metrics[name] for name in names)
    largest = max(len(tree_of(batch).tokens) for part in step.parts() for batch in micro_batches(part, step.micro))
    return Measured(
        device=str(device),
        itemsize=policy.dtype.itemsize,
        opening=opening,
        evaluation=evaluation,
        evaluation_later=_later(trainer, evaluation, fmean(seconds["sample"])),
        saving=timed(trainer.save),
        sampling=fmean(seconds["sample"]),
        update=fmean(seconds["learn"]),
        other=recording + metrics["time/step_seconds"] - rollout_seconds - reward_seconds - update_seconds,
        num_steps=trainer.recipe.steps,
        response_tokens=fmean(map(len, step.completions())),
        response_tokens_now=metrics["rollout/tokens"] / sum(len(group.members) for group in drawn_alone(groups)),
        learned_share=step.share,
        sampled_tokens=sum(map(len, step.completions())),
        learned_tokens=sum(len(group.prompt_ids) + sum(map(len, group.completions)) for group in step.learned),
        micro_tokens=largest,
        **memory_measured(policy, standing, first_peak, peaks["sample"], peaks["learn"]),
    )


def _later(trainer: RLTrainer, now: float, sampling: float) -> float:
    """Seconds of an evaluation whose completions are as long as the planned ones; never less than now."""
    rollout = trainer.recipe.rollout
    num_sampled = len(trainer.task.held_out) * trainer.recipe.evaluation.samples_per_question
    return max(now, sampling * num_sampled / (rollout.prompts_per_step * rollout.group_size))


def _recorded(trainer: RLTrainer, metrics: Metrics, groups: list[RolloutGroup], display: Display) -> float:
    """Seconds that it takes to leave a step in the run folder, which the first rank does."""
    if not trainer.ranks.is_first:
        return 0.0
    return timed(lambda: trainer.record(0, (metrics, groups), display))
