"""Plans of a recipe, or of a pipeline's stages, without running anything: each has its base's size."""

from collections.abc import Mapping
from pathlib import Path

from thinkwright.config.kinds import TRAINING_RECIPES, Recipe, TrainingRecipe
from thinkwright.config.pipeline import MODEL, REFERENCE, Pipeline, resolve
from thinkwright.config.recipe import RLRecipe
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.errors import ModelError, RecipeError
from thinkwright.planning.from_table import Given, plan_of_table
from thinkwright.planning.hardware import Hardware
from thinkwright.planning.plan import Plan
from thinkwright.planning.shape import size_of


def planned_stage(name: str, recipe: Recipe, hardware: Hardware, given: Given) -> Plan:
    """Of a single recipe. Raises RecipeError for a kind that cannot be planned."""
    found = plannable(name, recipe)
    teacher = getattr(recipe, "teacher", None)
    judges = [size_of(model) for model in _judges_of(found)]
    of_teacher = size_of(teacher) if teacher else None
    return plan_of_table(name, found, size_of(found.model), of_teacher, judges, hardware, given)


def _judges_of(recipe: Recipe) -> list[str]:
    """Reward models that a recipe's trainers hold."""
    if not isinstance(recipe, RLRecipe) or recipe.general is None:
        return []
    return [found.model for found in recipe.general.sets().values()]


def plannable(name: str, recipe: Recipe) -> TrainingRecipe | RejectionRecipe:
    """The recipe, if it is of a kind that a plan is made of. Raises RecipeError."""
    if isinstance(recipe, (*TRAINING_RECIPES, RejectionRecipe)):
        return recipe
    raise RecipeError(f"{name}: a stage of type {recipe.type} is not planned; plan knows {', '.join(_KINDS)}")


_KINDS = ("rl", "sft", "reward_model", "distill", "rejection_sample (from the table of hardware)")


def planned_stages(
    pipeline: Pipeline, only: str | None, hardware: Hardware, given: Given
) -> tuple[list[Plan], dict[str, str]]:
    """Of the stages of a pipeline, or of one; and why others have none. Raises RecipeError for a stage it lacks."""
    names = [stage.name for stage in pipeline.stages]
    if only is not None and only not in names:
        raise RecipeError(f"--only: {only} is no stage of {pipeline.name}; it has {', '.join(names)}")
    folders = {name: Path(f"@{name}") for name in names}
    tables = {stage.name: stage.table for stage in pipeline.stages}
    plans: list[Plan] = []
    left: dict[str, str] = {}
    for stage in pipeline.stages:
        if only not in (None, stage.name):
            continue
        try:
            recipe = plannable(stage.name, resolve(stage, folders))
            teacher = getattr(recipe, "teacher", None)
            sizes = [size_of(_base_of(stage.table["model"], tables))]
            sizes += [size_of(_base_of(stage.table["teacher"], tables))] if teacher else []
            judges = [size_of(_base_of(_written(model), tables)) for model in _judges_of(recipe)]
            plans.append(
                plan_of_table(stage.name, recipe, sizes[0], sizes[1] if teacher else None, judges, hardware, given)
            )
        except (RecipeError, ModelError) as error:
            if only is not None:
                raise
            left[stage.name] = str(error)
    return plans, left


def _base_of(model: str, tables: Mapping[str, Mapping[str, object]]) -> str:
    """The model that a stage's weights go back to: training changes no size."""
    while match := REFERENCE.fullmatch(model):
        table = tables[match["stage"]]
        if table["type"] == "pretrain":
            raise RecipeError(f"stage {match['stage']} makes its model anew; plan from the folder of one it has made")
        model = str(table["model"])
    return model


def _written(model: str) -> str:
    """A model of an earlier stage as the recipe's file names it, ``@NAME``, from the place that stands for it."""
    return model.removesuffix(f"/{MODEL}") if model.startswith("@") else model
