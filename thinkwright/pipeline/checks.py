"""One line of what the doctor says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """Something that was looked at."""

    name: str
    status: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""
    """What to do about it; empty if nothing needs doing."""
