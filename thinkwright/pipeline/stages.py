"""Runs a pipeline: each stage in a folder of its own, only where something changed, gates between them.

The same command goes on after a crash, Ctrl-C or a failed gate: stages whose manifest matches are passed over, the one
that was stopped is resumed, and a changed one is made again with all that depends on it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinkwright.config.load import parse_recipe, resolved_json
from thinkwright.config.pipeline import LEAVES, Condition, Pipeline, resolve
from thinkwright.errors import GateError, RecipeError, RunFolderError, ThinkwrightError
from thinkwright.pipeline.gate import examples_of, key_figure, unmet
from thinkwright.pipeline.manifest import (
    FINISHED,
    Manifest,
    code_version,
    damage,
    differences,
    outputs_of,
    read_manifest,
    write_manifest,
)
from thinkwright.pipeline.mirror import check_mirrors
from thinkwright.pipeline.outside import outside_of
from thinkwright.pipeline.places import Place, keep_old, places_of, renumber, seconds_of_earlier
from thinkwright.pipeline.record import INTERRUPTED
from thinkwright.pipeline.run import run_recipe
from thinkwright.run_folder import (
    RECIPE_FILE,
    append_event,
    is_empty,
    take_folder,
    write_bytes_atomic,
    write_json_atomic,
)
from thinkwright.run_lock import hold, release

PIPELINE_FILE = "pipeline.json"
STOPPED = "stopped"
"""Status of a pipeline that a gate or an error ended."""
_LENGTHS = ("steps", "epochs")
"""Keys by which a stage is made longer; each kind has at most one of them."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Extent:
    """Which stages of a pipeline are to be run; those before must be there."""

    first: str | None = None
    last: str | None = None


def run_pipeline(
    pipeline: Pipeline, folder: Path, extent: Extent, argv: list[str], say: Say, ray: str | None = None
) -> dict[str, Any]:
    """Run what has to be run, on a Ray cluster if the address of one is given; returns what ``summary.json`` holds.

    The folder is held by this process meanwhile.

    Raises RecipeError for an extent that names no stage or a mirror's missing library, RunFolderError for a folder that
    holds no pipeline or a stage that is needed and not there, GateError, and what stages raise.
    """
    try:
        return _run_pipeline(pipeline, folder, extent, argv, say, ray)
    finally:
        release(folder)


def _run_pipeline(
    pipeline: Pipeline, folder: Path, extent: Extent, argv: list[str], say: Say, ray: str | None
) -> dict[str, Any]:
    places = places_of(pipeline, folder)
    first, last = _bounds(pipeline, extent)
    check_mirrors({place.stage.name: place.stage.table for place in places[first : last + 1]})
    _take_folder(pipeline, folder)
    for line in renumber(places):
        say(line)
    append_event(folder, "started", argv=argv)
    for place in places[:first]:
        _must_be_there(place, places, say)
    started, wanted = time.monotonic(), places[first : last + 1]
    plan = _plan(places, wanted)
    for place in wanted:
        say(f"{place.stage.name}: {_why(plan[place.stage.name])}")
    times = {place.stage.name: _measured_seconds(place) for place in wanted if plan[place.stage.name]}
    try:
        for place in places[:first]:
            _pass_gates(place, say)
        for number, place in enumerate(wanted, first + 1):
            name, reasons = place.stage.name, _reasons(place, read_manifest(place.manifest), _origin(place, places))
            say(f"stage {number}/{len(places)} {name} ({place.stage.table['type']}): {_why(reasons)}")
            summary = _run_stage(place, places, argv, say, ray)
            if summary["status"] == INTERRUPTED or ("stopped_by" in summary and place is not wanted[-1]):
                stopped = {"status": INTERRUPTED} | {k: v for k, v in summary.items() if k == "stopped_by"}
                return _summary(folder, places, stopped, time.monotonic() - started)
            left = {other.stage.name for other in wanted[number - first :]} & times.keys()
            if reasons:
                say(f"  {_told(place)}{_rest([times[other] for other in left])}")
            _pass_gates(place, say)
    except ThinkwrightError:
        _summary(folder, places, {"status": STOPPED}, time.monotonic() - started)
        raise
    return _summary(folder, places, {"status": FINISHED}, time.monotonic() - started)


def _bounds(pipeline: Pipeline, extent: Extent) -> tuple[int, int]:
    names = [stage.name for stage in pipeline.stages]
    for name in (extent.first, extent.last):
        if name is not None and name not in names:
            raise RecipeError(f"{pipeline.name}: no stage is called {name}; its stages: {', '.join(names)}")
    first = 0 if extent.first is None else names.index(extent.first)
    last = len(names) - 1 if extent.last is None else names.index(extent.last)
    if last < first:
        raise RecipeError(f"{pipeline.name}: --until {extent.last} comes before --from {extent.first}; exchange them")
    return first, last


def _take_folder(pipeline: Pipeline, folder: Path) -> None:
    path = folder / PIPELINE_FILE
    if not is_empty(folder) and not path.is_file():
        raise RunFolderError(f"{folder}: exists already and holds no pipeline; give --out another folder")
    take_folder(folder)
    stages = [
        {
            "name": stage.name,
            "type": stage.table["type"],
            "inputs": stage.inputs,
            "gates": [gate.model_dump(mode="json") for gate in stage.gates],
        }
        for stage in pipeline.stages
    ]
    write_json_atomic(path, {"name": pipeline.name, "stages": stages})


def _plan(places: Sequence[Place], wanted: Sequence[Place]) -> dict[str, list[str]]:
    """Why each stage will be run, before anything is; nothing for one that will not be."""
    plan: dict[str, list[str]] = {}
    again: set[str] = set()
    for place in wanted:
        before, now = read_manifest(place.manifest), _origin(place, places)
        reasons = _reasons(place, before, now)
        reasons += [f"stage {name}, which it takes from, is run" for name in place.stage.inputs if name in again]
        if reasons:
            again.add(place.stage.name)
        plan[place.stage.name] = reasons
    return plan


def _why(reasons: Sequence[str]) -> str:
    return "; ".join(reasons) if reasons else "as it was, not run again"


def _measured_seconds(place: Place) -> float | None:
    """What the stage took when it was last run to its end in this folder; None if it never was."""
    found = read_manifest(place.manifest)
    if found is not None and found.wall_seconds:
        return found.wall_seconds
    return seconds_of_earlier(place, FINISHED)


def _rest(times: Sequence[float | None]) -> str:
    """What is left of the pipeline, if every stage that is left was timed before."""
    known = [seconds for seconds in times if seconds is not None]
    if not known or len(known) < len(times):
        return ""
    return f"; the stages left took {sum(known):.0f} s before"


def _told(place: Place) -> str:
    """Seconds and key figure of a stage that has just ended."""
    found = read_manifest(place.manifest)
    assert found is not None, "a stage that was run has a manifest"
    figure = key_figure(found.figures)
    return f"{place.stage.name} took {found.wall_seconds:.0f} s" + (f": {figure[0]} {figure[1]:.4g}" if figure else "")


def _reasons(place: Place, before: Manifest | None, now: Manifest) -> list[str]:
    """In words, why a stage must be run; nothing if what is there will do."""
    if before is None:
        return ["not run yet"]
    if changed := differences(before, now):
        return changed
    return damage(place.folder, before.outputs) if before.status == FINISHED else ["was stopped, goes on"]


def _run_stage(place: Place, places: Sequence[Place], argv: list[str], say: Say, ray: str | None) -> dict[str, Any]:
    """Run, resume or pass over a stage; returns its status and, if it was stopped, by what."""
    now, before = _origin(place, places), read_manifest(place.manifest)
    reasons = _reasons(place, before, now)
    if not reasons:
        return {"status": FINISHED}
    if place.folder.is_dir():  # an earlier trainer may still be at its last step there
        hold(place.folder)
        release(place.folder)
    if (before is None or differences(before, now)) and (aside := keep_old(place)) is not None:
        say(f"  what was there is in {aside}")
    write_manifest(place.manifest, now)
    folders = {other.stage.name: other.folder for other in places}
    started = time.monotonic()
    recipe, resume = resolve(place.stage, folders), (place.folder / RECIPE_FILE).is_file()
    if resume:
        # By its manifest the recipe gives the same; only the pipeline's folder may have another path now.
        write_bytes_atomic(place.folder / RECIPE_FILE, resolved_json(recipe).encode())
    summary = run_recipe(recipe, place.folder, resume=resume, argv=argv, ray=ray)
    if summary["status"] == FINISHED:
        names = [name for name in LEAVES[recipe.type] if (place.folder / name).exists()]
        outputs = outputs_of(place.folder, names)
        seconds = summary.get("wall_seconds", time.monotonic() - started)
        figures = summary.get("after", {})
        write_manifest(
            place.manifest, replace(now, status=FINISHED, outputs=outputs, figures=figures, wall_seconds=seconds)
        )
    return summary


def _origin(place: Place, places: Sequence[Place]) -> Manifest:
    """The manifest of a stage about to run."""
    stage = place.stage
    inputs: dict[str, str] = {}
    for other in places:
        if other.stage.name in stage.inputs:
            found = read_manifest(other.manifest)
            inputs[other.stage.name] = found.digest() if found is not None else "none"
    recipe = parse_recipe(f"stage {stage.name}", stage.table).model_dump(mode="json")
    return Manifest(recipe, inputs, code_version(), outside_of(recipe))


def _must_be_there(place: Place, places: Sequence[Place], say: Say) -> None:
    """Raises RunFolderError for a stage that is needed and not whole; says so if it was made from something else."""
    found = read_manifest(place.manifest)
    problems = ["it has not been run to its end"] if found is None or found.status != FINISHED else []
    if found is not None:
        problems += damage(place.folder, found.outputs)
    if problems:
        name = place.stage.name
        raise RunFolderError(
            f"stage {name} is needed and not there: {'; '.join(problems)}; start at it (--from {name})"
        )
    assert found is not None, "without a manifest it has a problem"
    if changed := differences(found, _origin(place, places)):
        say(f"{place.stage.name}: taken as it is, although: {'; '.join(changed)}")


def _pass_gates(place: Place, say: Say) -> None:
    """Hold a finished stage's figures against its gates. Raises GateError with value, examples and the way on."""
    found = read_manifest(place.manifest)
    assert found is not None, "a stage that was run has a manifest"
    for gate in place.stage.gates:
        value, problem = unmet(gate, found.figures)
        if problem is not None:
            raise GateError(_gate_text(place, gate, problem))
        limits = [f"{word} {limit:g}" for word, limit in (("min", gate.min), ("max", gate.max)) if limit is not None]
        say(f"  gate passed: {gate.figure} = {value:.4g} ({', '.join(limits)})")


def _gate_text(place: Place, gate: Condition, problem: str) -> str:
    name = place.stage.name
    key = next((key for key in _LENGTHS if key in place.stage.table), None)
    such_as = f" (such as {name}.{key}=...)" if key else ""
    return (
        f"the gate after stage {name} is shut: {problem}. Change the stage{such_as} or its gate on {gate.figure} and "
        "give the same command: what is finished and unchanged is not run again"
        + "".join(f"\n  for example {example}" for example in examples_of(place.folder, gate.figure))
    )


def _summary(folder: Path, places: Sequence[Place], ending: dict[str, str], seconds: float) -> dict[str, Any]:
    manifests = {place.stage.name: read_manifest(place.manifest) for place in places}
    summary = {
        **ending,
        "wall_seconds": seconds,
        "stages": {
            name: {"status": found.status, "wall_seconds": found.wall_seconds, "figures": found.figures}
            for name, found in manifests.items()
            if found is not None
        },
    }
    write_json_atomic(folder / "summary.json", summary)
    append_event(folder, ending["status"])
    return summary
