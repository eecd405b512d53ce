"""Asynchronous rollouts: the samplers are a bounded number of steps ahead of the update.

Every step learns from exactly its own prompts, whenever their completions end, so long ones are not left behind (taking
whatever ends first would favour short ones). Completions that run while weights come in go on with them (AReaL,
arXiv:2505.24298; PipelineRL, arXiv:2509.19128); every token's version is known.
"""

import threading
from collections.abc import Callable, Sequence

from thinkwright.training.step_sampler import StepPrompts, StepRollouts, StepSampler
from thinkwright.types import Metrics, Rollout, RolloutGroup


class _Job:
    """A step's rollouts in the making, in a thread of their own."""

    def __init__(self, make: Callable[[], StepRollouts], name: str) -> None:
        self._make = make
        self._found: StepRollouts | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found = self._make()
        except BaseException as error:  # raised again where the rollouts are taken
            self._error = error

    def result(self) -> StepRollouts:
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return self._found


class RolloutsAhead:
    """Steps whose rollouts have been begun and not taken. With a staleness of 0, no thread and no step ahead."""

    def __init__(self, sampler: StepSampler, max_staleness: int, num_steps: int) -> None:
        """``max_staleness``: steps between the weights that a step's rollouts begin with and those of its update."""
        self._sampler, self._max_staleness, self._num_steps = sampler, max_staleness, num_steps
        self._jobs: dict[int, _Job] = {}

    def take(self, step: int) -> StepRollouts:
        """The step's rollouts, once they are whole; others are begun meanwhile."""
        if self._max_staleness == 0:
            return self._sampler.rollouts(step, self._sampler.prompts(step))
        for later in range(step, min(step + self._max_staleness + 1, self._num_steps)):
            if later not in self._jobs:
                self._jobs[later] = self._begin(later, self._sampler.prompts(later))
        return self._jobs.pop(step).result()

    def _begin(self, step: int, prompts: StepPrompts) -> _Job:
        return _Job(lambda: self._sampler.rollouts(step, prompts), f"rollouts of step {step + 1}")


def token_versions(rollout: Rollout) -> list[int]:
    """The version of the weights that drew each token."""
    starts = [(0, rollout.policy_version), *rollout.version_changes]
    ends = [*(start for start, _ in starts[1:]), len(rollout.token_ids)]
    return [version for (start, version), end in zip(starts, ends, strict=True) for _ in range(start, end)]


def staleness_metrics(groups: Sequence[RolloutGroup], steps_of: dict[int, int], step: int) -> Metrics:
    """By how many steps' updates the weights that drew a token were older than those before the step's update.

    ``steps_of``: the last step before which each version was the newest. ``rollout/continued`` is the share of
    completions that more than one version wrote.
    """
    rollouts = [member.rollout for group in groups for member in group.members]
    ages = [step - steps_of[version] for rollout in rollouts for version in token_versions(rollout)]
    return {
        "rollout/staleness": sum(ages) / len(ages),
        "rollout/staleness_max": max(ages),
        "rollout/continued": sum(bool(rollout.version_changes) for rollout in rollouts) / len(rollouts),
    }
