"""What a shell completes: verbs and options as the parser knows them, recipes by their names.

``eval "$(register-python-argcomplete thinkwright)"`` in the shell's start file turns it on (bash and zsh; argcomplete).
"""

import argparse
import os
from collections.abc import Iterator
from typing import Any


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks how a line may go on, and end; do nothing for any other caller."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for action in _actions(parser):
        if action.metavar == "RECIPE":
            action.completer = _recipes  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _recipes(prefix: str, **_: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    from thinkwright.config.load import shipped_recipes

    return [*(name for name in shipped_recipes() if name.startswith(prefix)), *FilesCompleter(["toml"])(prefix)]


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)
