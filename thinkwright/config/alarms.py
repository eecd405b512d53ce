"""What a recipe may say of the alarms during a run. They speak; none of them stops it."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from thinkwright.config.section import Section, Share


class AlarmLimits(Section):
    """When a run says that something is wrong."""

    constant_steps: PositiveInt = 10
    """Steps in a row in which a reward is 0 for all rollouts, or full for all of them."""
    verifier_errors: Share = 0.01
    """Share of verdicts that failed, or took longer than their deadline, over five steps."""
    truncated: Share = 0.5
    """Share of completions cut at the limit over five steps."""
    length_share: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Mean length over five steps, as a share of the most it has been, under which thoughts have collapsed."""
    logprob_gap: PositiveFloat = 0.02
    """Mean distance between the sampling engine's log-probabilities and the trainer's over five steps, in nats a token;
    over it the engine may sample from other weights than it was given."""
    accuracy_drop: Share = 0.03
    """Fall of the held-out accuracy from its best, while the reward rises: a likely hack. Falls within two standard
    errors never count."""
