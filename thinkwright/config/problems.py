"""Says in plain words what pydantic found wrong with a recipe: the dotted key, what is wrong, and the remedy."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from thinkwright.config.kinds import RECIPES
from thinkwright.config.section import Section

Sections = tuple[type[Section], ...]
ROOTS: Sections = RECIPES
_DISCRIMINATORS = ("type", "style")
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a table",
    "dict_type": "a table",
}
_LONGEST_SHOWN = 60
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


def problems_of(error: ValidationError, roots: Sections = ROOTS) -> list[tuple[str, str]]:
    """(dotted key, what is wrong and what to do) for everything found; the key is empty for the recipe as a whole.

    ``roots``: what the recipe may be.
    """
    return [_problem(details, roots) for details in error.errors(include_url=False) if not _is_echo(details)]


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """``; did you mean X?`` for the nearest of the valid names, or nothing."""
    close = difflib.get_close_matches(name, list(valid), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    if isinstance(value, dict):
        return "a table"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _is_echo(details: ErrorDetails) -> bool:
    """A list called too short only because its wrong entries, each told of already, were not counted."""
    return details["type"] == "too_short" and len(details["input"]) >= details.get("ctx", {})["min_length"]


def _problem(details: ErrorDetails, roots: Sections) -> tuple[str, str]:
    key, root, here = _locate(details["loc"], roots)
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return key, _unknown_key(key, root, here)
    if kind == "missing":
        return key, _missing(key, here)
    if kind == "union_tag_not_found":
        return _join(key, _discriminator(here[0])), f"required and not given; write {_tags(here)}"
    if kind == "union_tag_invalid":
        name = _discriminator(here[0])
        return _join(key, name), _not_one_of(_tags(here), value[name])
    if kind == "literal_error":
        return key, _not_one_of(context["expected"], value)
    if kind in _EXPECTED:
        return key, f"expected {_EXPECTED[kind]}, got {shown(value)}{_type_remedy(kind, value)}"
    if kind == "value_error":
        return key, str(context["error"])
    if kind == "too_short":
        return key, f"needs at least {_entries(context['min_length'])}, got {shown(value)}"
    if kind == "too_long":
        return key, f"takes at most {_entries(context['max_length'])}, got {shown(value)}"
    return key, f"{details['msg'].replace('Input should', 'must')}, got {shown(value)}"


def _locate(loc: tuple[int | str, ...], roots: Sections) -> tuple[str, Sections, Sections]:
    """Dotted key of a location, union tags left out; the recipe's section; and the sections at the location.

    For a key that no section has, the sections are those of the table around it.
    """
    key, root, here = "", roots, roots
    for i, part in enumerate(loc):
        tagged = tuple(section for section in here if len(here) > 1 and _tag(section) == part)
        if tagged:
            here = tagged
            root = tagged if i == 0 else root
        elif isinstance(part, int):
            key = f"{key}[{part}]"
        else:
            key = _join(key, part)
            fields = here[0].model_fields if here else {}
            is_last = i == len(loc) - 1
            found = _sections(fields[part].annotation) if part in fields else ()
            here = here if is_last and not found else found
    return key, root, here


def _sections(annotation: Any) -> Sections:
    """The sections an annotation may hold: none for a plain value, several for a union told apart by a key."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    return tuple(section for argument in get_args(annotation) for section in _sections(argument))


def _tag(section: type[Section]) -> str:
    return get_args(section.model_fields[_discriminator(section)].annotation)[0]


def _discriminator(section: type[Section]) -> str:
    """The key that tells the sections of a union apart."""
    return next(name for name in _DISCRIMINATORS if name in section.model_fields)


def _tags(sections: Sections) -> str:
    return " or ".join(repr(_tag(section)) for section in sections)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _unknown_key(key: str, root: Sections, here: Sections) -> str:
    table, _, name = key.rpartition(".")
    valid = list(here[0].model_fields)
    close = difflib.get_close_matches(name.lower(), valid, n=1)
    known = list(_all_keys(root[0]))
    elsewhere = [other for other in known if other.endswith(f".{name}") and key not in known]
    candidates = elsewhere or [_join(table, near) for near in close]
    if candidates:
        return f"unknown key; did you mean {' or '.join(candidates)}?"
    name = next((name for name in _DISCRIMINATORS if name in valid), None)
    place = f"with {name} = {_tag(here[0])!r}" if name is not None else "here"
    return f"unknown key; valid {place}: {', '.join(valid)}"


def _all_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = _sections(field.annotation)
        if not inner:
            yield _join(prefix, name)
        for part in inner:
            yield from _all_keys(part, _join(prefix, name))


def _missing(key: str, here: Sections) -> str:
    table, _, name = key.rpartition(".")
    description = here[0].model_fields[name].description if here and name in here[0].model_fields else None
    meaning = f" ({description.strip().rstrip('.')})" if description else ""
    place = f"under [{table}] in the file" if table else "at the top of the file"
    if name.endswith("]"):
        return f"required and not given; write the whole list {key.partition('[')[0]}, such as [1, 2]"
    if "[" in key:  # no override reaches into a list
        return f"required and not given{meaning}; add {name} = VALUE to that entry in the file"
    return f"required and not given{meaning}; add {key}=VALUE to the command, or {name} = VALUE {place}"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _not_one_of(expected: str, value: Any) -> str:
    hint = did_you_mean(str(value).lower(), re.findall(r"'([^']*)'", expected))
    return f"expected {expected}, got {shown(value)}{hint}"


def _type_remedy(kind: str, value: Any) -> str:
    if kind in ("float_type", "int_type") and isinstance(value, str) and _NUMBER.fullmatch(value):
        return "; remove the quotes"
    if kind == "string_type" and isinstance(value, int | float):
        return f"; write {_quoted(str(value))}"
    if kind == "tuple_type" and isinstance(value, str):
        names = [name.strip("[]\"' ") for name in value.split(",")]
        return f"; write {_quoted(names)}"
    return ""


def _quoted(value: str | list[str]) -> str:
    """How a value is written in a file, and on a command line, where the shell takes one pair of quotes away."""
    text = json.dumps(value, ensure_ascii=False)
    return f"{text} (on the command line '{text}')"
