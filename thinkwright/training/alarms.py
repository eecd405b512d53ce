"""Alarms during a run: what a person would want to be woken for, each with what to do about it.

Every project of this kind has trained for hours on a reward that was silently zero, or was being gamed. The alarms look
at the same rows that ``metrics.jsonl`` and ``eval/`` hold, so a resumed run knows what the first part knew: ``replay``
reads them. An alarm speaks when its condition begins to hold, not again while it lasts.
"""

import json
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.alarms import AlarmLimits
from thinkwright.types import Prompt, RolloutGroup, ScoredRollout

WINDOW = 5
"""Steps whose mean is looked at where one step says too little."""
QUIET_STEPS = 20
"""An alarm that stopped for fewer steps than this does not speak again when it comes back."""
_EXAMPLES = 3
_EXTRACT = 160
_ERRORS = {
    "reward/failed": "failed",
    "reward/timeouts": "ran past their deadline",
    "reward/skipped": "had a gold that cannot be read",
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Evaluation:
    step: int
    accuracy: float
    standard_error: float


class Alarms:
    """Watches the rows of one run."""

    def __init__(self, limits: AlarmLimits, rewards: Collection[str], penalties: Collection[str] = ()) -> None:
        """``rewards``: those with a weight. ``penalties``: those of them that are 0 when nothing is wrong."""
        self._limits, self._rewards, self._penalties = limits, tuple(rewards), frozenset(penalties)
        # A run may have millions of steps: of the old ones only their number and reward stay.
        self._rows: deque[Row] = deque(maxlen=max(WINDOW, limits.constant_steps))
        self._scored_steps, self._total_rewards = array("q"), array("d")
        self._evaluations: list[_Evaluation] = []
        self._groups: Sequence[RolloutGroup] = ()
        self._peak_tokens = 0.0
        self._always_full = set(self._rewards)
        self._last_held: dict[str, int] = {}

    def replay(self, folder: Path) -> None:
        """Take up what a run folder holds: the rows of ``metrics.jsonl`` and the evaluations, speaking of nothing."""
        rows = folder / "metrics.jsonl"
        for line in rows.read_bytes().splitlines() if rows.exists() else []:
            row = json.loads(line)
            self.check(row["step"], row, ())
        for path in sorted(folder.glob("eval/step_*.json")):
            found = json.loads(path.read_text(encoding="utf-8"))
            self.check_evaluation(found["step"], found["figures"])

    def check(self, step: int, metrics: Row, groups: Sequence[RolloutGroup]) -> list[str]:
        """What begins to be wrong with this step's metrics, a text each. ``groups`` give the examples."""
        self._rows.append(metrics)
        if "reward/total" in metrics:
            self._scored_steps.append(step)
            self._total_rewards.append(metrics["reward/total"])
        self._groups = groups
        self._always_full = {name for name in self._always_full if metrics.get(f"reward/{name}") == 1.0}
        found = self._constant_rewards() | self._verifier_errors() | self._truncation() | self._length_collapse()
        found |= self._engine_gap()
        return self._beginning(step, found, QUIET_STEPS)

    def check_evaluation(self, step: int, figures: Row) -> list[str]:
        """What begins to be wrong with a held-out evaluation of the policy before ``step``."""
        self._evaluations = [evaluation for evaluation in self._evaluations if evaluation.step < step]
        self._evaluations.append(_Evaluation(step, figures["accuracy"], figures["accuracy_standard_error"]))
        since_last = step - self._evaluations[-2].step if len(self._evaluations) > 1 else 0
        return self._beginning(step, self._likely_hack(), max(QUIET_STEPS, since_last))

    def _beginning(self, step: int, found: Mapping[str, str], quiet_steps: int) -> list[str]:
        """The texts of the conditions that hold and did not within so many steps."""
        new = [text for name, text in found.items() if step - self._last_held.get(name, -quiet_steps - 1) > quiet_steps]
        self._last_held |= dict.fromkeys(found, step)
        return new

    def _constant_rewards(self) -> dict[str, str]:
        count = self._limits.constant_steps
        if len(self._rows) < count:
            return {}
        found: dict[str, str] = {}
        for name in self._rewards:
            values = [row.get(f"reward/{name}") for row in list(self._rows)[-count:]]
            if name not in self._penalties and all(value == 0.0 for value in values):
                found[f"zero/{name}"] = self._all_zero(name)
            # The format is full for good once it is learned; only one that never taught anything is worth a word.
            if all(value == 1.0 for value in values) and (name == "accuracy" or name in self._always_full):
                found[f"full/{name}"] = _all_full(name, count)
        return found

    def _all_zero(self, name: str) -> str:
        remedy = (
            "see with `thinkwright doctor` whether right answers score; if they do, the task is too hard: take an "
            "easier one, or a stronger model"
            if name == "accuracy"
            else "see with `thinkwright doctor` whether it can be earned at all; if it can, give examples of it first "
            "(fine-tuning), or set its weight to 0"
        )
        return (
            f"the {name} reward was 0 for every rollout of the last {self._limits.constant_steps} steps, so it teaches "
            f"nothing; {remedy}{_listed([_answer_of(*pick) for pick in _members(self._groups)[:1]])}"
        )

    def _engine_gap(self) -> dict[str, str]:
        gap = self._mean("policy/logprob_gap")
        if gap is None or gap <= self._limits.logprob_gap:
            return {}
        return {
            "logprob_gap": f"the sampler's log-probabilities were {gap:.3f} nats a token from the trainer's over the "
            f"last {WINDOW} steps (limit {self._limits.logprob_gap:g}): the policy learns from samples of another one; "
            "see that the engine takes the new weights and computes in the trainer's dtype (machine.dtype)"
        }

    def _verifier_errors(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for metric, what in _ERRORS.items():
            if (share := self._mean(metric)) is not None and share > self._limits.verifier_errors:
                found[metric] = (
                    f"{share:.1%} of the verdicts of the last {WINDOW} steps {what} (limit "
                    f"{self._limits.verifier_errors:.1%}): these rollouts are set aside, not learned from; look at "
                    "them in rollouts/, then mend the rewards or the rows of the task"
                )
        return found

    def _truncation(self) -> dict[str, str]:
        share = self._mean("rollout/truncated_rate")
        if share is None or share <= self._limits.truncated:
            return {}
        text = (
            f"{share:.0%} of the completions of the last {WINDOW} steps were cut at the limit (alarm over "
            f"{self._limits.truncated:.0%}): what they would have earned is unknown; raise "
            "rollout.max_response_tokens, or see whether the policy repeats itself instead of ending"
        )
        return {"truncated": text}

    def _length_collapse(self) -> dict[str, str]:
        length, truncated = self._mean("rollout/response_tokens"), self._mean("rollout/truncated_rate")
        if length is None:
            return {}
        # A base model that does not end yet is long without thinking; that is no height to fall from.
        if (truncated or 0.0) <= self._limits.truncated:
            self._peak_tokens = max(self._peak_tokens, length)
        if length >= self._limits.length_share * self._peak_tokens:
            return {}
        text = (
            f"completions have collapsed to {length:.0f} tokens from {self._peak_tokens:.0f} (means of {WINDOW} "
            "steps): the thought may have become empty; read the newest in rollouts/, and see which reward pays for a "
            "bare answer" + _listed([_example(*pick) for pick in _most_rewarded(self._groups)])
        )
        return {"length": text}

    def _likely_hack(self) -> dict[str, str]:
        """Reward up while held-out accuracy is down, beyond what chance does."""
        *earlier, now = self._evaluations
        if not earlier or not self._rows:
            return {}
        best = max(earlier, key=lambda evaluation: evaluation.accuracy)
        noise = 2 * (best.standard_error**2 + now.standard_error**2) ** 0.5
        fall = best.accuracy - now.accuracy
        before, after = self._reward_near(best.step), self._reward_near(now.step)
        if fall <= max(self._limits.accuracy_drop, noise) or after <= before:
            return {}
        text = (
            f"the reward rose from {before:.3f} to {after:.3f} while the held-out accuracy fell from "
            f"{best.accuracy:.1%} (step {best.step}) to {now.accuracy:.1%} (step {now.step}): likely the policy earns "
            "rewards without solving the questions; read the most rewarded completions, mend what pays for them, and "
            "begin another run from an earlier checkpoint (thinkwright export makes a model of it)"
            + _listed([_example(*pick) for pick in _most_rewarded(self._groups)])
        )
        return {"hack": text}

    def _reward_near(self, step: int) -> float:
        """Mean reward of the steps before ``step``; before the first one, of the first steps."""
        end = bisect_left(self._scored_steps, step) or WINDOW
        return fmean(self._total_rewards[max(0, end - WINDOW) : end] or [0.0])

    def _mean(self, metric: str) -> float | None:
        """Mean over the window; None where a step of it does not have the metric."""
        values = [row.get(metric) for row in list(self._rows)[-WINDOW:]]
        numbers = [value for value in values if value is not None]
        return fmean(numbers) if len(numbers) == WINDOW else None


def _all_full(name: str, count: int) -> str:
    if name == "accuracy":
        return (
            f"every rollout of the last {count} steps was right: no group has anything left to teach; take harder "
            "questions, or see whether the verifier says yes to everything (`thinkwright doctor`)"
        )
    return (
        f"the {name} reward was full for every rollout since the first step ({count} steps): it teaches nothing, and "
        "may not be looking at what it should; see with `thinkwright doctor`, or set its weight to 0"
    )


def _members(groups: Sequence[RolloutGroup]) -> list[tuple[Prompt, ScoredRollout]]:
    return list(chain.from_iterable(((group.prompt, member) for member in group.members) for group in groups))


def _most_rewarded(groups: Sequence[RolloutGroup]) -> list[tuple[Prompt, ScoredRollout]]:
    """The best member of each of the groups with the highest rewards."""
    best = [(group.prompt, max(group.members, key=lambda member: member.reward)) for group in groups if group.members]
    return sorted(best, key=lambda pick: -pick[1].reward)[:_EXAMPLES]


def _example(prompt: Prompt, member: ScoredRollout) -> str:
    scores = ", ".join(f"{name} {score:g}" for name, score in member.scores.items())
    return f"{prompt.prompt_id} (reward {member.reward:g}: {scores}): {_extract(member.rollout.text)}"


def _answer_of(prompt: Prompt, member: ScoredRollout) -> str:
    answer = TEMPLATES[prompt.template].split(member.rollout.text).answer
    read = "no answer was found in" if answer is None else f"the answer read was {_extract(answer)} in"
    return f"{prompt.prompt_id} (gold {_extract(prompt.gold)}): {read} {_extract(member.rollout.text)}"


def _extract(text: str) -> str:
    """Both ends of a text, on one line."""
    return repr(text) if len(text) <= 2 * _EXTRACT else f"{text[:_EXTRACT]!r} ... {text[-_EXTRACT:]!r}"


def _listed(examples: Sequence[str]) -> str:
    return "".join(f"\n  for example {example}" for example in examples)
