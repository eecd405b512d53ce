"""Models that come with the package."""

import os
from pathlib import Path

_HERE = Path(__file__).parent
SHIPPED = {"tiny-base": _HERE / "tiny_base", "tiny-base-small": _HERE / "tiny_base_small"}


def resolve_model_name(name: str) -> str:
    """The folder of a shipped model, or the name itself (a folder or a Hub name)."""
    return str(SHIPPED[name]) if name in SHIPPED else os.path.expanduser(name)
