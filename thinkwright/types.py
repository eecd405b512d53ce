"""The nouns of the one way data flows: prompts -> rollouts -> rewards -> advantages -> batch -> update."""

from dataclasses import dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length"]
Outcome = Literal["graded", "skipped", "failed", "timeout"]


@dataclass(frozen=True)
class Prompt:
    """A question as the policy reads it, and what its answer is judged by."""

    prompt_id: str
    """Unique within its task."""
    question: str
    text: str
    """The question in the template; what is tokenized."""
    verifier: str
    """Name of the rule in ``rewards/registry.py``."""
    gold: str
    """What the verifier compares with: an answer, or tests, or constraints, as the verifier reads them."""
    reference: str
    """A right answer as a model would write it in the answer's place: what the doctor expects full marks for."""
    template: str
    """Name of the template ``text`` was written with; completions are told apart by the same one."""
    family: str
    level: int
    language: str
    """Language of the question, an ISO 639-1 code."""


@dataclass(frozen=True)
class Rollout:
    """One completion as it was sampled. Token ids and log-probabilities are never made again from text."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the end token included when there is one."""
    logprobs: tuple[float, ...]
    """Log-probability of each token under the distribution it was drawn from; 0 for a forced one."""
    untempered_logprobs: tuple[float, ...]
    """Log-probability of each token under the policy itself, at temperature 1; empty where an engine does not tell."""
    is_forced: tuple[bool, ...]
    """Tokens that were given, not drawn."""
    text: str
    """The completion decoded, without the end token."""
    finish_reason: FinishReason
    """``stop``: ended by itself. ``length``: cut at the limit (truncated)."""
    policy_version: int
    """Number of updates the policy had received that drew the first token."""
    version_changes: tuple[tuple[int, int], ...] = ()
    """Where weights changed on the way: index of the first token that newer weights drew, and their version."""
    is_taught: bool = False
    """A teacher's trace, which the policy did not draw: its log-probabilities are 0."""


@dataclass(frozen=True)
class ScoredRollout:
    """A rollout with its rewards by name, and what they come to together."""

    rollout: Rollout
    scores: dict[str, float]
    """As found, before weights; without those that a grader did not come to."""
    reward: float
    outcome: Outcome = "graded"
    """Anything but ``graded`` has no reward, takes no part in baseline and loss, and is counted and listed."""
    detail: str = ""
    """Why it was not graded."""
    advantage: float | None = None
    """As the update used it; None for a member that took no part in one. With a critic: the mean over its tokens."""


@dataclass(frozen=True)
class RolloutGroup:
    """The G rollouts of one prompt: the unit that is sampled, scored, stored and learned from."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    members: tuple[ScoredRollout, ...]


@dataclass(frozen=True)
class TrainingGroup:
    """A group ready for the update: token ids, sampling log-probabilities, and an advantage per completion."""

    prompt_ids: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    rollout_logprobs: tuple[tuple[float, ...], ...]
    advantages: tuple[float, ...]
    is_counted: tuple[bool, ...]
    """False for a completion that takes no part in baseline and loss: one that was not graded, or a truncated one if
    the recipe says so."""
    token_advantages: tuple[tuple[float, ...], ...] | None = None
    """A critic's, for each token; None where a completion's advantage is that of all its tokens."""
    is_taught: tuple[bool, ...] | None = None
    """True for a teacher's trace; None where the policy drew all."""
    is_drawn: tuple[tuple[bool, ...], ...] | None = None
    """False for tokens that were given, which are not learned from; None where all were drawn."""
    old_logprobs: tuple[tuple[float, ...], ...] | None = None
    """Log-probabilities under the trainer before the step's first update, where another program sampled; None where
    those of the sampling are the trainer's own."""


Metrics = dict[str, float]
"""Figures of one step by name, prefixed ``reward/ loss/ policy/ critic/ rollout/ reflection/ update/ optim/ time/``."""


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of one held-out evaluation and the completions behind them."""

    figures: dict[str, Any]
    samples: list[dict[str, Any]]
