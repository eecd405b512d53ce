"""What a recipe may say of other tools that a run's metrics are shown in, too: none, unless it names some."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from thinkwright.config.section import Section

ServiceName = Literal["tensorboard", "trackio", "wandb"]
"""The names in ``training/mirrors/mirrors.py``."""


class MirrorSettings(Section):
    """Where the metrics go beside ``metrics.jsonl``. Nothing of it changes what a run makes (docs/mirrors.md)."""

    to: tuple[ServiceName, ...] = Field(min_length=1)
    """Any of ``tensorboard``, ``trackio`` and ``wandb``."""
    project: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=128)] = "thinkwright"
    """What trackio and Weights & Biases file the run under."""
    name: Annotated[str, Field(pattern=r"^\S[^/\\\n]*$", max_length=128)] | None = None
    """What they call it; by default as its folder is called, a pipeline's stage after the pipeline's folder, too."""
    mode: Literal["offline", "online"] = "offline"
    """``offline``: Weights & Biases writes to the run folder, for ``wandb sync`` to send if wanted. ``online``: it
    sends at once. TensorBoard and trackio stay on this machine always."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "MirrorSettings":
        if twice := sorted({name for name in self.to if self.to.count(name) > 1}):
            raise ValueError(f"to: {twice[0]} stands twice; name it once")
        if set(self.to) == {"tensorboard"} and (idle := sorted({"project", "name"} & self.model_fields_set)):
            raise ValueError(f"{idle[0]} has no effect on tensorboard, which shows folders; remove it")
        if "wandb" not in self.to and "mode" in self.model_fields_set:
            raise ValueError("mode has no effect without wandb, the only one that may send; remove it")
        return self
