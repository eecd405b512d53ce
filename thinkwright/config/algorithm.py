"""What a recipe may say of the algorithm: advantages, loss, reduction, KL, correction, entropy.

The names are those of the tables in ``algorithms/``, or ``package.module:function`` for one of your own; what they
compute, and from which paper, stands there.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from thinkwright.config.section import FUNCTION, Section, Share

ADVANTAGES = (
    "group_std", "group_mean", "batch_std", "batch_reward_std", "leave_one_out", "maximum_likelihood", "gae",
)  # fmt: skip
LOSS_SETTINGS: dict[str, dict[str, float | None]] = {
    "clip": {"clip_low": 0.2, "clip_high": 0.28, "clip_dual": None},
    "gspo": {"clip_low": 3e-4, "clip_high": 4e-4},
    "cispo": {"weight_cap": 5.0},
    "dppo": {"max_change": 0.2, "weight_cap": 5.0},
    "policy_gradient": {},
    "sapo": {"gate_positive": 1.0, "gate_negative": 1.05},
}
"""The settings that each loss heeds, and their defaults, as they were published."""
ENTROPY_SETTINGS: dict[str, dict[str, float]] = {
    "none": {},
    "bonus": {"entropy_coef": 0.001},
    "kl_cov": {"entropy_coef": 1.0, "entropy_share": 0.002},
    "clip_cov": {"entropy_share": 0.0002, "covariance_low": 1.0, "covariance_high": 5.0},
    "high_entropy": {"entropy_share": 0.2},
}
"""The same of each way to heed entropy."""


def _known_advantage(name: str) -> str:
    return _known(name, ADVANTAGES)


def _known_loss(name: str) -> str:
    return _known(name, tuple(LOSS_SETTINGS))


def _known(name: str, names: tuple[str, ...]) -> str:
    if name not in names and not FUNCTION.fullmatch(name):
        raise ValueError(f"{name!r} is none of {', '.join(names)}, nor package.module:function")
    return name


class Algorithm(Section):
    """GRPO (DeepSeekMath, arXiv:2402.03300, equation 3) and what came after it."""

    mini_batches: PositiveInt = 2
    """Updates made from one step's rollouts, each from its own part of the groups."""
    advantage: Annotated[str, AfterValidator(_known_advantage)] = "group_std"
    """How rewards of a step become advantages; a name of ``algorithms/advantages.py``, ``gae`` (PPO, with
    ``[critic]``), or a function of your own."""
    loss: Annotated[str, AfterValidator(_known_loss)] = "clip"
    """The loss of a token; a name of ``algorithms/policy_loss.py``, or a function of your own."""
    clip_low: Share | None = None
    """``clip``, ``gspo``: the ratio's lower bound is 1 - clip_low (0.2; of whole completions 3e-4)."""
    clip_high: PositiveFloat | None = None
    """``clip``, ``gspo``: the ratio's upper bound is 1 + clip_high (0.28; of whole completions 4e-4)."""
    clip_dual: Annotated[float, Field(gt=1)] | None = None
    """``clip``: the loss of a token with a negative advantage is at most so many times that; no bound by default."""
    weight_cap: PositiveFloat | None = None
    """``cispo``, ``dppo``: bound of the ratio that a token's gradient is weighed by (5)."""
    max_change: Share | None = None
    """``dppo``: a token whose probability has moved by more than this in the advantage's way is left alone (0.2)."""
    gate_positive: PositiveFloat | None = None
    """``sapo``: how fast tokens of good completions fade with their ratio (1)."""
    gate_negative: PositiveFloat | None = None
    """``sapo``: the same of bad ones (1.05)."""
    reduction: Literal["token_mean", "sequence_mean", "prompt_mean", "fixed_length"] = "token_mean"
    """How tokens' losses become one number (``algorithms/reductions.py``)."""
    kl_coef: float = Field(default=0.001, ge=0)
    """Weight of the KL term against the reference policy (R1-Zero: 0.001)."""
    kl: Literal["k1", "k2", "k3", "k3_unbiased"] = "k3"
    """How it is estimated (``algorithms/kl.py``)."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Where it is counted: a term of the loss (R1-Zero), or a part of each token's reward (with ``kl = "k1"``)."""
    reference_refresh_steps: PositiveInt = 400
    """The reference policy becomes the current one every so many steps (R1-Zero: 25; the paper counts each of a
    step's 16 mini-batches, so 400)."""
    reference_refresh_optimizer: bool = False
    """Then the optimizer begins anew as well (ProRL, arXiv:2505.24864)."""
    truncated: Literal["zero_reward", "mask"] = "zero_reward"
    """A cut completion scores 0 and is learned from, or is left out of baseline and loss."""
    correction: Literal["truncate", "truncate_sequence", "band", "none"] | None = None
    """Where another program or older weights sample: weigh each token by how likely the trainer makes it against the
    sampler, at most ``correction_cap`` times (the default); or by the product over its completion; or leave out tokens
    outside of 1 / ``correction_cap`` to that; or heed no difference."""
    correction_cap: Annotated[float, Field(gt=1)] | None = None
    """Bound of the weights of ``correction``, 2 by default."""
    entropy: Literal["none", "bonus", "kl_cov", "clip_cov", "high_entropy"] = "none"
    """Against falling entropy: a term of the loss; a penalty on the change of tokens with the largest covariance of
    log-probability and advantage; some of these not learned from; or only tokens of high entropy learned from, told
    within each micro-batch, so that the gradient then depends on ``micro_batch_tokens``."""
    entropy_coef: PositiveFloat | None = None
    """``bonus`` (0.001), ``kl_cov`` (1): weight of the term."""
    entropy_share: Share | None = None
    """Share of tokens: ``kl_cov`` penalises (0.002), ``clip_cov`` leaves out (0.0002), ``high_entropy`` keeps (0.2)."""
    covariance_low: float | None = None
    """``clip_cov``: tokens are drawn from those with at least this covariance (1)."""
    covariance_high: float | None = None
    """``clip_cov``: and with at most this one (5)."""

    def loss_settings(self) -> dict[str, float | None]:
        """Those of the loss, defaults filled in; none for a function of the user's own."""
        return self._settings(LOSS_SETTINGS.get(self.loss, {}))

    def entropy_settings(self) -> dict[str, Any]:
        """Those of ``entropy``, defaults filled in."""
        return self._settings(ENTROPY_SETTINGS[self.entropy])

    def _settings(self, defaults: dict[str, Any]) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in defaults}
        return {name: default if given[name] is None else given[name] for name, default in defaults.items()}

    @model_serializer(mode="wrap")
    def _with_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was run: the settings that are heeded with the values they have, be they defaults."""
        loss = self.loss_settings() if self.mini_batches > 1 or self.loss == "dppo" else {}
        return write(self) | loss | self.entropy_settings()

    @model_validator(mode="after")
    def _options_have_effect(self) -> "Algorithm":
        self._refuse_idle("loss", LOSS_SETTINGS)
        self._refuse_idle("entropy", ENTROPY_SETTINGS)
        if self.mini_batches == 1:
            self._refuse_ratios()
        if self.entropy == "kl_cov" and self.mini_batches == 1:
            raise ValueError(
                'entropy = "kl_cov" penalises how far tokens have moved since the step began, which is nothing with '
                "mini_batches = 1; raise mini_batches or remove it"
            )
        low, high = (self.entropy_settings().get(name, 0.0) for name in ("covariance_low", "covariance_high"))
        if low > high:
            raise ValueError(f"covariance_low: {low:g} is over covariance_high = {high:g}; lower it")
        if self.correction == "none" and self.correction_cap is not None:
            raise ValueError('correction_cap has no effect with correction = "none"; remove it')
        if self.kl_coef == 0:
            for name in ("reference_refresh_steps", "reference_refresh_optimizer", "kl", "kl_in"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} has no effect with kl_coef = 0; "
                        f"remove it (algorithm.{name}=default on the command line) or raise kl_coef"
                    )
        return self

    def _refuse_idle(self, key: str, table: dict[str, Any]) -> None:
        """Raises ValueError for settings that the chosen method does not heed."""
        heeded = table.get(getattr(self, key), {})
        for name in dict.fromkeys(name for settings in table.values() for name in settings):
            if getattr(self, name) is not None and name not in heeded:
                users = ", ".join(f'"{method}"' for method, settings in table.items() if name in settings)
                raise ValueError(f'{name} has no effect with {key} = "{getattr(self, key)}"; it is for {users}')

    def _refuse_ratios(self) -> None:
        """Raises ValueError for what bounds a ratio that is always 1."""
        given = [name for name in LOSS_SETTINGS.get(self.loss, {}) if getattr(self, name) is not None]
        if self.loss != "dppo" and given:
            raise ValueError(
                f"{' and '.join(given)} has no effect with mini_batches = 1, where the ratio is always 1; "
                "remove it (key=default on the command line) or raise mini_batches"
            )
        if self.loss in ("gspo", "cispo", "sapo"):
            raise ValueError(
                f'loss = "{self.loss}" is the plain policy gradient with mini_batches = 1, where the ratio is 1; raise '
                "mini_batches or remove it"
            )

    @model_validator(mode="after")
    def _parts_make_sense(self) -> "Algorithm":
        if (self.kl_in == "reward") != (self.kl == "k1"):
            raise ValueError(
                'kl = "k1" and kl_in = "reward" belong together: in the loss k1\'s gradient has the mean 0 whatever '
                "the reference is, and a reward has no gradient that the others would be for; set both or neither"
            )
        if self.loss == "gspo" and self.entropy in ("clip_cov", "high_entropy"):
            raise ValueError(
                f'entropy = "{self.entropy}" leaves out single tokens, and loss = "gspo" takes a completion whole; '
                "choose another of the two"
            )
        if self.loss == "gspo" and self.correction == "band":
            raise ValueError(
                'correction = "band" leaves out single tokens, and loss = "gspo" takes a completion whole; set '
                'correction = "truncate_sequence"'
            )
        if self.loss == "dppo" and (self.correction not in (None, "none") or self.correction_cap is not None):
            raise ValueError(
                'loss = "dppo" holds tokens against the sampler itself, so a correction would count the difference '
                "twice; remove correction"
            )
        return self
