"""What a recipe may say of a served model that judges answers (DeepSeek-R1, arXiv:2501.12948, section B.3.2)."""

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
