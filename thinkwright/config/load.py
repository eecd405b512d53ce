"""Reads a recipe: a shipped one by name or a TOML file, then dotted overrides, then the schema.

Whatever is wrong comes out as one RecipeError that names the file, the key, what is wrong and the remedy, one problem
a line.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, TypeAdapter, ValidationError

from thinkwright.characters import HALF_CHARACTER
from thinkwright.config.kinds import Recipe
from thinkwright.config.problems import did_you_mean, problems_of, shown
from thinkwright.errors import RecipeError

_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="type")])
_SUFFIX = ".toml"
PIPELINE = "pipeline"
"""The ``type`` of a list of stages (``config/pipeline.py``)."""
DEFAULT = "default"
"""An override with this value takes the key out of the recipe, so that the schema's default holds again."""
USE = "use"
"""A list of presets: in a file they lie under its own keys, on the command line over them."""
_MAX_BYTES = 1_000_000
_MAX_PARTS = 64
# tomllib's work grows with the square of a dotted key. The look behind starts at the beginning of words alone.
_LONG_KEY = re.compile(rf"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){{{_MAX_PARTS}}}")
_TOML_REMEDIES = {
    "Cannot overwrite": "this key stands twice, keep one",
    "Cannot declare": "this [table] stands twice, keep one",
    "Invalid value": "numbers stand bare, text needs quotes",
}


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file with overrides such as ``optimizer.lr=1e-4`` put over it; else RecipeError."""
    source, table = read_table(name_or_path)
    named = [override for override in overrides if override.partition("=")[0].strip() == USE]
    for override in named:
        put_presets_over(table, _names_of(override), override)
    return parse_recipe(source, table, [override for override in overrides if override not in named])


def parse_recipe(source: str, table: dict[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that a table says, the overrides put over it (in place); RecipeError with all that is wrong."""
    if table.get("type") == PIPELINE:
        raise RecipeError(f"{source}: is a pipeline of stages; give one stage's recipe here (run takes pipelines, too)")
    lines = [f"{source}: {problem}" for problem in apply_overrides(table, overrides)]
    try:
        # JSON, because only there a strict schema takes a list for a tuple; dates become text, the schema has none.
        recipe = _RECIPE.validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        lines += [_line(source, key, problem, overrides) for key, problem in problems_of(error)]
        raise RecipeError("\n".join(lines)) from None
    if lines:
        raise RecipeError("\n".join(lines))
    return recipe


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package, such as ``tiny/r1-zero``."""
    return sorted(_shipped_files())


def recipe_name(name_or_path: str) -> str:
    """A shipped recipe's name, or a file's name without folder and suffix."""
    return name_or_path if name_or_path in _shipped_files() else Path(name_or_path).name.removesuffix(_SUFFIX)


def resolved_json(recipe: Recipe) -> str:
    """The recipe with every default filled in, as ``recipe.json`` holds it."""
    return json.dumps(recipe.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def _shipped_files() -> dict[str, Traversable]:
    folders = [folder for folder in resources.files("thinkwright").joinpath("recipes").iterdir() if folder.is_dir()]
    return {
        f"{folder.name}/{file.name.removesuffix(_SUFFIX)}": file
        for folder in folders
        for file in folder.iterdir()
        if file.name.endswith(_SUFFIX)
    }


def read_table(name_or_path: str) -> tuple[str, dict[str, Any]]:
    """How messages call the recipe, and what its TOML says."""
    shipped = _shipped_files()
    if name_or_path in shipped:
        source, file = f"shipped recipe {name_or_path}", shipped[name_or_path]
    else:
        source, file = name_or_path, Path(name_or_path).expanduser()
        if not file.exists():
            raise RecipeError(_no_such_recipe(name_or_path, list(shipped)))
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise RecipeError(f"{source}: over {_MAX_BYTES:,} bytes are no recipe; give another file")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{source}: cannot be read ({error.strerror}); give a readable {_SUFFIX} file") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{source}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise RecipeError(
            f"{source}: line {line}: a key of over {_MAX_PARTS} parts is no key of a recipe; mend that line"
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source}: {_toml_problem(str(error), text)}") from error
    except ValueError as error:  # a number of thousands of digits
        raise RecipeError(f"{source}: {str(error).partition(';')[0]}; write a smaller one") from error
    except RecursionError as error:
        raise RecipeError(f"{source}: lists or tables within one another without end; mend the file") from error
    return source, _over_presets(source, table)


def presets() -> list[str]:
    """Names of the presets that come with the package: parts of recipes."""
    return sorted(_preset_files())


def put_presets_over(table: dict[str, Any], names: Sequence[str], source: str) -> None:
    """Change a table in place. Raises RecipeError for a name that no preset has."""
    found = _preset_files()
    for name in names:
        if name not in found:
            hint = did_you_mean(name, list(found)) or ";"
            raise RecipeError(f"{source}: {USE}: there is no preset {name}{hint} presets: {', '.join(sorted(found))}")
        put_over(table, tomllib.loads(found[name].read_text(encoding="utf-8")))


def _over_presets(source: str, table: dict[str, Any]) -> dict[str, Any]:
    """A recipe's own keys over those of the presets it names."""
    names = table.pop(USE, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[Any]", names)):
        raise RecipeError(f'{source}: {USE}: is {shown(names)}; write a list of presets, such as {USE} = ["modern"]')
    under: dict[str, Any] = {}
    put_presets_over(under, cast("list[str]", names), source)
    put_over(under, table)
    return under


def _names_of(override: str) -> list[str]:
    """``use=modern``, or several with commas between or as a TOML list."""
    value = _parse_value(override.partition("=")[2])
    return [str(name) for name in cast("list[Any]", value)] if isinstance(value, list) else str(value).split(",")


def _preset_files() -> dict[str, Traversable]:
    files = resources.files("thinkwright").joinpath("presets").iterdir()
    return {file.name.removesuffix(_SUFFIX): file for file in files if file.name.endswith(_SUFFIX)}


def _no_such_recipe(name: str, shipped: list[str]) -> str:
    hint = (
        _near_file(Path(name).expanduser())
        or did_you_mean(name.removesuffix(_SUFFIX), shipped)
        or did_you_mean(name, [s.split("/")[1] for s in shipped])
    )
    return (
        f"{name}: no shipped recipe has this name and there is no such file{hint or ';'} "
        f"shipped recipes: {', '.join(sorted(shipped))}; or give the path of a {_SUFFIX} file"
    )


def _near_file(path: Path) -> str:
    """``; did you mean X?`` for the file of that folder with the nearest name, or nothing."""
    files = {file.stem: file for file in sorted(path.parent.glob(f"*{_SUFFIX}"))}
    close = difflib.get_close_matches(path.stem, files, n=1)
    return f"; did you mean {files[close[0]]}?" if close else ""


def _toml_problem(message: str, text: str) -> str:
    last_line = len(text.rstrip().splitlines())
    message = message.replace("at end of document", f"at line {last_line}, the end of the file")
    remedy = next((remedy for start, remedy in _TOML_REMEDIES.items() if message.startswith(start)), "mend that line")
    return f"not valid TOML: {message}; {remedy}"


def apply_overrides(table: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Put each override into the table; returns what is wrong with them."""
    return [problem for override in overrides if (problem := _apply_override(table, override))]


def put_over(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change a table in place; keys of ``changes`` may be dotted, tables in it are merged."""
    for key, value in changes.items():
        first, _, rest = key.partition(".")
        if rest:
            value = {rest: value}
        if isinstance(value, dict) and isinstance(table.get(first), dict):
            put_over(table[first], cast("dict[str, Any]", value))
        elif isinstance(value, dict):
            table[first] = {}
            put_over(table[first], cast("dict[str, Any]", value))
        else:
            table[first] = value


def _apply_override(table: dict[str, Any], override: str) -> str | None:
    """Put ``a.b=value`` into the table; returns what is wrong with it, if anything."""
    key, equals, text = override.partition("=")
    *path, name = (part.strip() for part in key.split("."))
    if not equals:
        return f"override {override}: no '='; write key=value, such as seed=1"
    if not all((*path, name)):
        return f"override {override}: the key has an empty part; write key=value, such as optimizer.lr=1e-4"
    if HALF_CHARACTER.search(override):  # what Python makes of bytes that are not UTF-8
        return f"override {override!r}: is not UTF-8; write it in UTF-8"
    if not text.strip():
        return f"override {override}: no value after '='; write {key}='\"\"' if an empty text is meant"
    for i, part in enumerate(path):
        inner: Any = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return f"override {override}: {'.'.join(path[: i + 1])} is {shown(inner)}, not a table; it has no keys"
        table = cast("dict[str, Any]", inner)
    if text.strip() == DEFAULT:
        table.pop(name, None)
    else:
        table[name] = _parse_value(text)
    return None


def _parse_value(text: str) -> Any:
    """A TOML value, or the text itself if it is none."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return found["value"] if found.keys() == {"value"} else text.strip()


def _line(source: str, key: str, problem: str, overrides: Sequence[str]) -> str:
    """One problem on one line, with the override it came from, if it did."""
    given = [override for override in overrides if key and _concerns(override, key)]
    origin = f" (from the override {given[-1]})" if given else ""
    return f"{source}: {key + ': ' if key else ''}{problem}{origin}"


def _concerns(override: str, key: str) -> bool:
    overridden, plain = override.partition("=")[0].strip(), key.partition("[")[0]
    return f"{plain}.".startswith(f"{overridden}.") or f"{overridden}.".startswith(f"{plain}.")
