"""What a recipe may say of PPO's critic."""

from typing import Annotated

from pydantic import Field, PositiveFloat

from thinkwright.config.section import Section


class Critic(Section):
    """A second model that learns what reward a completion will come to: PPO's baseline, where GRPO's is the group."""

    lr: PositiveFloat = 1e-5
    """Its learning rate; warm-up and decay are the policy's."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 1.0
    """1: an advantage is the reward less what the critic expected; below 1 it leans on the critic's later estimates,
    which vary less and are biased (with 0.95 PPO was found far worse: DeepSeek-R1, section A.3)."""
    pretrain_steps: int = Field(default=0, ge=0)
    """First steps in which it learns and the policy stays as it is (VAPO, arXiv:2504.05118); the policy's warm-up
    begins after them."""
