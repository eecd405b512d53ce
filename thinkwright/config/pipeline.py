"""A pipeline: stages by name, each a recipe of its own, that take what earlier ones made.

In a stage's recipe the text ``@NAME`` stands for the model folder that the stage NAME leaves, ``@NAME/FILE`` for
another of its files; no other value may begin with ``@``. On the command line ``NAME.key=value`` overrides a key of
one stage.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from thinkwright.config.general import READS
from thinkwright.config.kinds import Recipe
from thinkwright.config.load import (
    PIPELINE,
    apply_overrides,
    parse_recipe,
    put_over,
    put_presets_over,
    read_table,
)
from thinkwright.config.problems import did_you_mean, problems_of
from thinkwright.config.section import Section
from thinkwright.errors import RecipeError

REFERENCE = re.compile(r"@(?P<stage>[a-z][a-z0-9-]*)(?:/(?P<file>.+))?")
MODEL, ADAPTER = "model", "adapter"
"""What ``@NAME`` alone stands for: the folder in which a stage leaves its model."""
LEAVES: dict[str, tuple[str, ...]] = {
    "pretrain": (MODEL,),
    "sft": (MODEL, ADAPTER),
    "rl": (MODEL, ADAPTER),
    "rejection_sample": ("examples.jsonl",),
    "reward_model": (MODEL,),
    "distill": (MODEL, ADAPTER),
    "evaluate": ("table.json",),
}
"""What a stage of a kind leaves for later ones, adapters only if it trained such; ``summary.json`` goes into its
manifest."""
_JUDGES = {f"general.{name}.model": reads for name, reads in READS.items()}
"""Keys that take a reward model, and what it must have been trained to read. All others take language models."""


class Condition(Section):
    """A gate after a stage: the next one starts only if this holds."""

    figure: str
    """Dotted name in the stage's final figures, such as ``accuracy`` or ``accuracy_by_family.countdown``."""
    min: float | None = None
    """The figure must be at least this."""
    max: float | None = None
    """The figure must be at most this."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> "Condition":
        if self.min is None and self.max is None:
            raise ValueError("a gate needs min or max")
        return self


class StageEntry(Section):
    """One stage as a pipeline's file lists it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    """How other stages and the command line call it."""
    recipe: str
    """A shipped recipe, or a TOML file, whose path is relative to this file."""
    use: tuple[str, ...] = ()
    """Presets that are put over that recipe."""
    set: dict[str, Any] = Field(default={})
    """Keys of that recipe to be changed, as tables or dotted, after the presets."""
    gates: tuple[Condition, ...] = ()
    """What must hold after it."""


class PipelineRecipe(Section):
    """Stages that follow each other."""

    type: Literal["pipeline"]
    seed: int = 0
    """Seed of every stage whose ``set`` and overrides give none; that of a stage's recipe file is replaced."""
    stages: Annotated[tuple[StageEntry, ...], Field(min_length=1)]
    """In the order in which they run."""


@dataclass(frozen=True)
class Stage:
    """One stage, read and checked."""

    name: str
    table: dict[str, Any]
    """Its recipe as a table, references as they were written; ``resolve`` makes the recipe of it."""
    gates: tuple[Condition, ...]
    inputs: tuple[str, ...]
    """Names of the stages it takes something from."""


@dataclass(frozen=True)
class Pipeline:
    """All stages in their order."""

    name: str
    seed: int
    stages: tuple[Stage, ...]


_PIPELINE = TypeAdapter(PipelineRecipe)


def load_pipeline(name_or_path: str, overrides: Sequence[str] = ()) -> Pipeline | None:
    """The pipeline of that name or file; None if it is a single stage's recipe. Raises RecipeError."""
    source, table = read_table(name_or_path)
    if table.get("type") != PIPELINE:
        return None
    entries = cast("list[Any]", table["stages"]) if isinstance(table.get("stages"), list) else []
    names = [cast("dict[str, Any]", entry).get("name") for entry in entries if isinstance(entry, dict)]
    own = [override for override in overrides if override.partition(".")[0] not in names]
    problems = apply_overrides(table, own)
    try:
        recipe = _PIPELINE.validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        problems += [f"{key}: {problem}" if key else problem for key, problem in problems_of(error, (PipelineRecipe,))]
        raise RecipeError("\n".join(f"{source}: {problem}" for problem in problems)) from None
    if problems:
        raise RecipeError("\n".join(f"{source}: {problem}" for problem in problems))
    folder = Path(name_or_path).expanduser().parent
    stages: list[Stage] = []
    for entry in recipe.stages:
        given = [override.partition(".")[2] for override in overrides if override.startswith(f"{entry.name}.")]
        stages.append(_load_stage(entry, recipe.seed, given, stages, folder, source))
    return Pipeline(source, recipe.seed, tuple(stages))


def resolve(stage: Stage, folders: Mapping[str, Path]) -> Recipe:
    """The stage's recipe with the folders of the stages it takes from in place of the references."""
    return parse_recipe(f"stage {stage.name}", _replaced(stage.table, folders))


def _replaced(value: Any, folders: Mapping[str, Path]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, folders) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_replaced(inner, folders) for inner in cast("list[Any]", value)]
    if isinstance(value, str) and (match := REFERENCE.fullmatch(value)):
        return str(folders[match["stage"]] / (match["file"] or MODEL))
    return value


def references(table: dict[str, Any]) -> Iterator[re.Match[str]]:
    """Every reference in a recipe's values."""
    for _, text in texts_of(table):
        if match := REFERENCE.fullmatch(text):
            yield match


def texts_of(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text among a recipe's values with its dotted key; those of a list have the list's."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from texts_of(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for inner in cast("Sequence[Any]", value):
            yield from texts_of(inner, key)
    elif isinstance(value, str):
        yield key, value


def _load_stage(
    entry: StageEntry, seed: int, overrides: Sequence[str], earlier: Sequence[Stage], folder: Path, source: str
) -> Stage:
    place, known = f"{source}: stage {entry.name}", {stage.name: stage for stage in earlier}
    if entry.name in known:
        raise RecipeError(f"{place}: two stages have this name; give each its own")
    file = folder / entry.recipe
    _, table = read_table(str(file) if file.is_file() else entry.recipe)
    put_presets_over(table, entry.use, place)
    put_over(table, {"seed": seed} | entry.set)
    parse_recipe(f"{place} ({entry.recipe})", table, overrides)
    taken = [(key, text) for key, text in texts_of(table) if text.startswith("@")]
    for key, text in taken:
        _check_reference(place, key, text, known)
    inputs = dict.fromkeys(match["stage"] for match in references(table))
    return Stage(entry.name, table, entry.gates, tuple(inputs))


def _check_reference(place: str, key: str, text: str, earlier: Mapping[str, Stage]) -> None:
    """Raises RecipeError for what names no earlier stage, a file that it does not leave, or a model of a wrong kind."""
    match = REFERENCE.fullmatch(text)
    if match is None:
        near = text.removeprefix("@").lower().replace("_", "-").replace(" ", "-")
        hint = did_you_mean(f"@{near}", [f"@{name}" for name in earlier])
        raise RecipeError(
            f"{place}: {key}: {text!r} begins with @ and is no reference{hint or ';'} write @NAME or @NAME/FILE, NAME "
            "in small letters, digits and hyphens"
        )
    name, file = match["stage"], match["file"] or MODEL
    if name not in earlier:
        names, hint = ", ".join(earlier) or "none", did_you_mean(name, earlier)
        raise RecipeError(f"{place}: {key}: @{name} is no earlier stage{hint or ';'} earlier stages: {names}")
    table = earlier[name].table
    kind, leaves = table["type"], LEAVES[table["type"]]
    if file.partition("/")[0] not in leaves:
        written = [f"@{name}" if left == MODEL else f"@{name}/{left}" for left in leaves]
        hint = did_you_mean(text, written) or f"; write {' or '.join(written)}"
        raise RecipeError(f"{place}: {key}: {text}: stage {name} ({kind}) leaves no {file}{hint}")
    if file.rstrip("/") == MODEL:
        _check_kind(f"{place}: {key}: {text}", key, table)


def _check_kind(place: str, key: str, origin: Mapping[str, Any]) -> None:
    """Raises RecipeError for a policy where a reward model is wanted, the reverse, or one that reads something else."""
    wanted, kind = _JUDGES.get(key), origin["type"]
    if wanted is None and kind == "reward_model":
        raise RecipeError(f"{place} is a reward model, which writes nothing; give a stage that leaves a language model")
    if wanted is not None and kind != "reward_model":
        raise RecipeError(f"{place} is of kind {kind}; give a reward_model stage with reads = {wanted}")
    if wanted is not None and origin["reads"] != wanted:
        raise RecipeError(
            f"{place} is trained to read the {origin['reads']}, and here it would judge the {wanted}; give a "
            f"reward_model stage with reads = {wanted}"
        )
