"""Functions of the user's own, named ``package.module:function`` in a recipe."""

import importlib
import inspect
import os
import sys
from typing import Any


def load_named(name: str) -> Any:
    """What ``package.module:name`` names; the folder that the run was started in is looked through last, so that a file
    there never takes the place of a library. Raises whatever goes wrong."""
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return getattr(importlib.import_module(module), attribute)


def problem_with(name: str, form: str, num_arguments: int) -> str | None:
    """Why it cannot be a function of that ``form``, with the remedy; None if it can. Imports it."""
    try:
        function = load_named(name)
    except ModuleNotFoundError as error:
        return f"{error}; correct the name, or run from the folder that the module is in"
    except AttributeError as error:
        return f"{error}; correct the name after the colon"
    except (Exception, SystemExit) as error:
        return f"importing it raised {type(error).__name__}: {error}; mend the module"
    if not callable(function):
        return f"is {type(function).__name__}, not a function; name a {form}"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return "must be a plain function, neither async nor a generator"
    try:
        inspect.signature(function).bind(*[None] * num_arguments)
    except ValueError:
        return None  # a compiled one does not say what it takes
    except TypeError as error:
        return f"cannot be called as {form}: {error}; give it just that"
    return None
