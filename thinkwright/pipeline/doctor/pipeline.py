"""The self-check of a pipeline's stages before any of them has run.

What a stage takes from an earlier one is not there yet: rows are told as such, and a model is stood in for by the one
that its lineage begins with, which has the same tokenizer.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from thinkwright.config.kinds import Recipe
from thinkwright.config.load import parse_recipe
from thinkwright.config.pipeline import MODEL, REFERENCE, Pipeline, Stage, references
from thinkwright.config.recipe import Measurement
from thinkwright.errors import ThinkwrightError
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.examine import DoctorReport
from thinkwright.pipeline.doctor.stages import Examiner

_AT_K = re.compile(r"(?:.*\.)?(?:pass|cons)_at_(\d+)")


def examine_pipeline(pipeline: Pipeline, examiner: Examiner) -> Iterator[tuple[str, DoctorReport]]:
    """Each stage's name and what was found, in their order; what cannot be loaded is a failed check of its stage."""
    stages = {stage.name: stage for stage in pipeline.stages}
    for stage in pipeline.stages:
        recipe = parse_recipe(f"stage {stage.name}", cast("dict[str, Any]", _stood_in(stage.table, stages)))
        checks = [*_reference_checks(stage, stages), *_gate_checks(stage, recipe)]
        try:
            report = examiner.examine(recipe)
        except ThinkwrightError as error:
            report = DoctorReport((_failed(error),))
        yield stage.name, report.with_checks(checks)


def _stood_in(value: Any, stages: dict[str, Stage]) -> Any:
    """A recipe's table with models that are not there yet replaced by those their lineage begins with."""
    if isinstance(value, dict):
        return {key: _stood_in(inner, stages) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_stood_in(inner, stages) for inner in cast("list[Any]", value)]
    if isinstance(value, str) and (match := REFERENCE.fullmatch(value)) and match["file"] in (None, MODEL):
        origin = stages[match["stage"]]
        key = "start" if origin.table["type"] == "pretrain" else MODEL
        # A reward model is no language model, so nothing can stand in for it.
        if origin.table["type"] != "reward_model" and key in origin.table:
            return _stood_in(origin.table[key], stages)
    return value


def _reference_checks(stage: Stage, stages: dict[str, Stage]) -> list[Check]:
    """What this one takes from earlier stages, which is known to be left: ``load_pipeline`` refuses anything else."""
    taken = {(match["stage"], match["file"] or MODEL) for match in references(stage.table)}
    return [
        Check("takes", "ok", f"{file} of stage {name} ({stages[name].table['type']})") for name, file in sorted(taken)
    ]


def _gate_checks(stage: Stage, recipe: Recipe) -> list[Check]:
    """Whether as many samples are drawn as a gate on pass@k or cons@k needs."""
    measurement = getattr(recipe, "evaluation", None)
    if not isinstance(measurement, Measurement):
        return []
    drawn = measurement.samples_per_question
    checks: list[Check] = []
    for gate in stage.gates:
        match = _AT_K.fullmatch(gate.figure)
        if match is not None and int(match[1]) > drawn:
            found = f"needs {match[1]} samples a question; evaluation.samples_per_question is {drawn}"
            remedy = f"set evaluation.samples_per_question = {match[1]}"
            checks.append(Check(f"gate on {gate.figure}", "failed", found, remedy))
    return checks


def _failed(error: ThinkwrightError) -> Check:
    name = type(error).__name__.removesuffix("Error").lower()
    return Check(name, "failed", str(error))
