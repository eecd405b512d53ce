"""Models that come with the package."""

from pathlib import Path

SHIPPED = {"tiny-base": Path(__file__).parent / "tiny_base"}


def resolve_model_name(name: str) -> str:
    """The folder of a shipped model, or the name itself (a folder or a Hub name)."""
    return str(SHIPPED[name]) if name in SHIPPED else name
