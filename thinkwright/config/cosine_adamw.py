"""What recipes of fine-tuning, reward models and distillation may say of their optimizer, beside its peak rate."""

from typing import Annotated

from pydantic import Field, PositiveFloat

from thinkwright.config.checkpointed import Checkpointed
from thinkwright.config.lora import LoRASettings
from thinkwright.config.section import Share

Decay = Annotated[float, Field(ge=0, lt=1)]


class CosineAdamW(Checkpointed):
    """AdamW on fp32 master weights, its rate rising linearly and falling along a cosine."""

    final_lr_share: Share = 0.1
    """The rate falls along a cosine to this share of the peak at the last step (R1: 0.1)."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises linearly from 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """Decay of the first and of the second moment of AdamW."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""
    lora: LoRASettings | None = None
    """Train low-rank adapters instead of the weights."""
