"""What a recipe may say of served models that judge or rewrite (DeepSeek-R1, arXiv:2501.12948, section B.3)."""

from pydantic import Field, PositiveInt

from thinkwright.config.endpoint import Endpoint
from thinkwright.config.section import Share


class Judge(Endpoint):
    """A served model that judges: an endpoint, and what is done with verdicts that cannot be read."""

    temperature: float = Field(default=0.6, gt=0)
    """Over 0, unlike elsewhere: verdicts on the same text must be able to differ, and a new try must be a new one."""
    tries: PositiveInt = 3
    """Times a judge is asked for one verdict until it can be read; then the item has no verdict."""
    max_no_verdict_share: Share = 0.1
    """Share of items without a verdict before the stage stops."""


class Refiner(Endpoint):
    """A served model that rewrites: an endpoint, and what is done with rewritings that cannot be used."""

    max_unusable_share: Share = 0.1
    """Share of rewritings that are cut, empty or of no readable form before the stage stops."""
