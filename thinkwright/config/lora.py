"""What a recipe may say of low-rank adapters."""

from pydantic import PositiveFloat, PositiveInt

from thinkwright.config.section import Section


class LoRASettings(Section):
    """Train low-rank adapters of all linear layers, and leave the weights themselves as they are (LoRA,
    arXiv:2106.09685). They want a rate some ten times that of full training."""

    rank: PositiveInt = 32
    """Columns of each adapter's factors."""
    alpha: PositiveFloat = 64.0
    """The adapter's product is multiplied by alpha / rank."""
