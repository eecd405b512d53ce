"""What a recipe may say of its rewards."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from thinkwright.config.section import FUNCTION, Section, Share
from thinkwright.types import Isolation

Weight = Annotated[float, Field(ge=0)]
_SETTINGS_OF = {
    "language_target": "language",
    "overlong_buffer_tokens": "overlong",
    "repetition_ngram": "repetition",
    "lazy_length_from": "lazy_length",
    "target_length_tokens": "target_length",
}


class CustomReward(Section):
    """A function of your own, called once a group in a worker process (``rewards/custom.py`` says with what)."""

    function: str
    """``package.module:function``, importable from the folder that the run is started in."""
    weight: float = 1.0
    """What its numbers are multiplied by; under 0 for a penalty."""
    deadline_seconds: PositiveFloat = 30.0
    """A call that takes longer is ended, and its group set aside."""

    @field_validator("function")
    @classmethod
    def _is_name(cls, function: str) -> str:
        if not FUNCTION.fullmatch(function):
            raise ValueError(f"write package.module:function, not {function!r}")
        return function

    @model_validator(mode="after")
    def _has_effect(self) -> "CustomReward":
        if self.weight == 0:
            raise ValueError("weight = 0 gives the function no effect; remove it or give it a weight")
        return self


class RewardWeights(Section):
    """Weight of each reward, and how they come together: a weighted sum (R1-Zero: accuracy and format alike)."""

    accuracy: Weight = 1.0
    """0 to 1: how right the answer after the thought is by the task's verifier."""
    format: Weight = 1.0
    """1 if the completion is written as the template asks, around a thought that says something, else 0."""
    random: Weight = 0.0
    """0 or 1 by the toss of a coin: the control that must teach nothing."""
    language: Weight = 0.0
    """Share of the thought's words in the language it should be in (R1, section 2.3.2: weight 1); 0 for no thought."""
    language_target: str | None = None
    """That language, as an ISO 639-1 code; without one it is the question's own."""
    overlong: Weight = 0.0
    """0, falling to -1 over the last tokens before the limit (DAPO, arXiv:2503.14476, equation 13)."""
    overlong_buffer_tokens: PositiveInt | None = None
    """How many tokens before the limit; a fifth of the limit without one (DAPO: 4,096 of 20,480)."""
    repetition: Weight = 0.0
    """0 to -1: less the share of n-grams of words that stood in the completion before (arXiv:2502.03373, section D)."""
    repetition_ngram: PositiveInt = 20
    """Words in an n-gram."""
    cosine_length: Weight = 0.0
    """-1 to 1: right answers should be short, wrong ones have thought longer (arXiv:2502.03373, section 4.2)."""
    lazy_length: Weight = 0.0
    """0 to -1: right answers that took long, in groups that are mostly right (``rewards/length.py``)."""
    lazy_length_from: Share | None = None
    """Share of a group that must be right for that; 0.75 without one."""
    target_length: Weight = 0.0
    """0 to -1: how far a completion's length is from ``target_length_tokens`` (L1, arXiv:2503.04697)."""
    target_length_tokens: PositiveInt | None = None
    """Tokens that a completion should have."""
    custom: tuple[CustomReward, ...] = ()
    """Functions of your own."""
    paid_only_when_correct: tuple[str, ...] = ()
    """Rewards that count only in a completion whose accuracy is 1: ``format``, ``language``, or a custom function."""
    normalize: Literal["none", "per_reward"] = "none"
    """``per_reward``: each reward gets mean 0 and standard deviation 1 in its group before it is weighted, so that none
    drowns the others (GDPO, arXiv:2601.05242; its sum over the batch is ``algorithm.advantage = "batch_std"``)."""
    workers: PositiveInt = 2
    """Processes that grade, besides those that stand in for stuck ones."""
    program_isolation: Isolation = "bubblewrap"
    """How programs that a model wrote are kept from the machine; ``process`` protects it from none of them."""
    max_error_share: Share = 0.05
    """Share of a step's rollouts that graders may fail on, time out on or skip, by more than one prompt, before the run
    stops. Up to it they are set aside: counted, listed, not learned from."""

    @model_validator(mode="after")
    def _some_weight(self) -> "RewardWeights":
        if not self.weights():
            raise ValueError("all reward weights are 0, so nothing would be learned; give at least one a weight")
        return self

    @model_validator(mode="after")
    def _options_have_effect(self) -> "RewardWeights":
        for setting, reward in _SETTINGS_OF.items():
            is_set = getattr(self, setting) != type(self).model_fields[setting].default
            if is_set and not getattr(self, reward):
                raise ValueError(f"{setting} has no effect with {reward} = 0; remove it or give {reward} a weight")
        if self.target_length and self.target_length_tokens is None:
            raise ValueError("target_length needs target_length_tokens, the tokens that a completion should have")
        functions = [custom.function for custom in self.custom]
        if len(set(functions)) < len(functions):
            raise ValueError("custom names a function twice; keep one, with the sum of the weights")
        for name in self.paid_only_when_correct:
            if name not in ("format", "language", *functions):
                choices = ", ".join(("format", "language", *functions))
                raise ValueError(f"paid_only_when_correct: {name!r} cannot be held back; use some of {choices}")
            if name not in self.weights():
                raise ValueError(f"paid_only_when_correct: {name} has weight 0; remove it there or give it a weight")
        if self.normalize == "per_reward" and len(self.weights()) == 1:
            raise ValueError("normalize has no effect on a single reward; remove it or give another reward a weight")
        return self

    def weights(self) -> dict[str, float]:
        """Weight by name, of the rewards that have one."""
        own = {
            "accuracy": self.accuracy,
            "format": self.format,
            "random": self.random,
            "language": self.language,
            "overlong": self.overlong,
            "repetition": self.repetition,
            "cosine_length": self.cosine_length,
            "lazy_length": self.lazy_length,
            "target_length": self.target_length,
        }
        given = own | {custom.function: custom.weight for custom in self.custom}
        return {name: weight for name, weight in given.items() if weight}
