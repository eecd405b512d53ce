"""The nouns of the one way data flows: prompts -> rollouts -> rewards -> advantages -> batch -> update."""

from dataclasses import dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length"]
Outcome = Literal["graded", "skipped", "failed", "timeout"]
Isolation = Literal["bubblewrap", "process"]
"""What untrusted programs run in (``rewards/sandbox.py``)."""


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
class TrainingMember:
    """A completion of n tokens as the update reads it."""

    token_ids: tuple[int, ...]
    rollout_logprobs: tuple[float, ...]
    """Log-probability of each token when it was sampled."""
    reward: float
    """What a critic learns to foretell; 0 where it does not count."""
    advantages: tuple[float, ...]
    """Of each token; those that a group's rewards give are the same for all tokens of a completion."""
    is_counted: bool = True
    """False where it takes no part in baseline and loss: it was not graded, or is truncated and the recipe says so."""
    is_taught: bool = False
    """Whether it is a teacher's trace."""
    is_drawn: tuple[bool, ...] | None = None
    """False for tokens that were given, which are not learned from; None where all were drawn."""
    old_logprobs: tuple[float, ...] | None = None
    """Log-probabilities under the trainer before the step's first update, where another program sampled; None where
    those of the sampling are the trainer's own."""


@dataclass(frozen=True)
class TrainingGroup:
    """A prompt's completions, ready for the update."""

    prompt_ids: tuple[int, ...]
    members: tuple[TrainingMember, ...]

    @property
    def completions(self) -> tuple[tuple[int, ...], ...]:
        """The members' token ids."""
        return tuple(member.token_ids for member in self.members)


Metrics = dict[str, float]
"""Figures of one step by name, prefixed ``reward/ loss/ policy/ critic/ rollout/ reflection/ update/ optim/ time/``."""


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of one held-out evaluation and the completions behind them."""

    figures: dict[str, Any]
    samples: list[dict[str, Any]]
