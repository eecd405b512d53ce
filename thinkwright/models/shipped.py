"""What a model's name stands for: one that comes with the package, a folder, or one of the Hub."""

import os
from difflib import get_close_matches
from pathlib import Path

from thinkwright.errors import ModelError

_HERE = Path(__file__).parent
SHIPPED = {"tiny-base": _HERE / "tiny_base", "tiny-base-small": _HERE / "tiny_base_small"}


def resolve_model_name(name: str) -> str:
    """The folder of a shipped model, or the name itself (a folder or a Hub name).

    Raises ModelError for a path where nothing is: the Hub is never asked for what a mistyped path might name there.
    """
    if name in SHIPPED:
        return str(SHIPPED[name])
    location = os.path.expanduser(name)
    if _is_path(location) and not Path(location).exists():
        raise ModelError(
            f"{name}: there is no such folder{_suggested(Path(location))}; check the spelling{_way_out(location)}"
        )
    return location


def _is_path(location: str) -> bool:
    """Whether it cannot be, or is not meant as, ``owner/name`` of the Hub."""
    parts = Path(location).parts
    return location.startswith((".", os.sep)) or len(parts) > 2 or (len(parts) == 2 and Path(parts[0]).is_dir())


def _way_out(location: str) -> str:
    """For a name that the Hub may have as well."""
    parts = Path(location).parts
    is_both = len(parts) == 2 and not location.startswith((".", os.sep))
    return f", or run where no folder is called {parts[0]} if a model of the Hub is meant" if is_both else ""


def _suggested(path: Path) -> str:
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    found = get_close_matches(path.name, siblings, n=1)
    return f", but a {path.parent / found[0]}" if found else ""
