"""What a run folder tells of the model it made: stages, command, machine, hours, data, and what was measured."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinkwright.export.measured import MeasuredRun, asked_languages, evaluations, hub_name, read_object
from thinkwright.training.checkpoint import PROGRESS_FILE

_STAGE = re.compile(r"(\d+)-(.+)")


@dataclass(frozen=True)
class StageFacts:
    """One step of the recipe."""

    name: str
    kind: str
    seconds: float | None


@dataclass(frozen=True)
class RunFacts:
    """All of it; empty for a model that came without a run."""

    stages: tuple[StageFacts, ...] = ()
    command: str | None = None
    recipe_digest: str | None = None
    machine: str | None = None
    versions: str | None = None
    ended: str | None = None
    """Day of the last start (UTC), as YYYY-MM-DD."""
    base: str | None = None
    """The model that training began with: a Hub name, the name of a shipped one, or None."""
    data: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    measured: tuple[MeasuredRun, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Of all stages whose time is known."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) if known else None


def read_run(run: Path | None, checkpoint: Path | None = None) -> RunFacts:
    """The facts of a run folder, or of a checkpoint in it; what is not there, or cannot be read, is left out."""
    if run is None:
        return RunFacts()
    chain = _chain(run)
    recipes = {folder: read_object(folder / "recipe.json") for folder in chain}
    environment = read_object(run / "environment.json")
    stages = [_stage(folder, recipes[folder]) for folder in chain]
    if checkpoint is not None:
        stages[-1] = _until(stages[-1], read_object(checkpoint / PROGRESS_FILE))
    return RunFacts(
        stages=tuple(stages),
        command=_command(environment),
        recipe_digest=_digest(run),
        machine=_machine(environment),
        versions=", ".join(f"{name} {version}" for name, version in environment.get("versions", {}).items()) or None,
        ended=str(environment["started"])[:10] if "started" in environment else None,
        base=_base(recipes.values()),
        data=tuple(dict.fromkeys(what for recipe in recipes.values() for what in _data(recipe))),
        languages=asked_languages(run),
        measured=tuple(evaluations(run, checkpoint)),
    )


def _chain(run: Path) -> list[Path]:
    """The stages that the model came of, this one last; a run of its own alone."""
    if not (run.parent.parent / "pipeline.json").is_file() or not _STAGE.fullmatch(run.name):
        return [run]
    by_name = {
        found[2]: path for path in run.parent.iterdir() if path.is_dir() and (found := _STAGE.fullmatch(path.name))
    }
    seen: set[Path] = set()
    waiting = [run]
    while waiting:
        folder = waiting.pop()
        if folder not in seen:
            seen.add(folder)
            manifest = read_object(folder.with_name(f"{folder.name}.json"))
            waiting += [by_name[name] for name in manifest.get("inputs", {}) if name in by_name]
    return sorted(seen, key=lambda folder: int(folder.name.partition("-")[0]))


def _stage(folder: Path, recipe: dict[str, Any]) -> StageFacts:
    found = _STAGE.fullmatch(folder.name)
    seconds = read_object(folder / "summary.json").get("wall_seconds")
    return StageFacts(found[2] if found else folder.name, str(recipe.get("type", "?")), seconds)


def _until(stage: StageFacts, progress: dict[str, Any]) -> StageFacts:
    """As far as it had come at a checkpoint."""
    name = f"{stage.name}, its first {progress.get('next_step', '?')} steps"
    return replace(stage, name=name, seconds=progress.get("wall_seconds"))


def _command(environment: dict[str, Any]) -> str | None:
    """As it was typed, but for where its folders lie on that machine."""
    words = [str(word) for word in environment.get("argv", [])[1:]]
    if not words:
        return None
    if "--out" in words:
        at = words.index("--out")
        words[at : at + 2] = []
    return " ".join(["thinkwright", *(Path(word).name if word.startswith("/") else word for word in words)])


def _digest(run: Path) -> str | None:
    """Of the resolved recipe, as the file stands in the run folder."""
    try:
        return hashlib.sha256((run / "recipe.json").read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def _machine(environment: dict[str, Any]) -> str | None:
    machine = environment.get("machine", {})
    if not machine:
        return None
    memory = machine.get("memory_bytes")
    size = f", {memory / 2**30:.0f} GiB" if memory else ""
    device = "" if environment.get("device", "cpu") == "cpu" else f", on {environment['device']}"
    return f"{machine.get('cores')} cores of {machine.get('cpu')}{size}{device}, weights in {environment.get('dtype')}"


def _base(recipes: Any) -> str | None:
    """The newest start that is no folder of a run: what RL and fine-tuning began from."""
    starts = [recipe.get("model") for recipe in recipes if recipe.get("type") in ("rl", "sft", "distill", "pretrain")]
    names = [start for start in starts if isinstance(start, str) and not start.startswith((".", "/", "~", "runs/"))]
    return next((name for name in reversed(names) if name.count("/") <= 1 and not Path(name).exists()), None)


def _data(recipe: dict[str, Any]) -> Iterator[str]:
    """What a stage learned from, in words."""
    if recipe.get("type") not in ("rl", "sft", "distill", "rejection_sample", "reward_model", "pretrain"):
        return
    task = recipe.get("task") or {}
    tasks = [part.get("task", {}) for part in task["parts"]] if task.get("type") == "mixture" else [task]
    for one in tasks:
        if one.get("type") == "tiny_world":
            yield f"questions of the tiny world ({', '.join(one.get('families', []))})"
        elif one.get("name"):
            yield f"{one['name']} ({hub_name(str(one['name'])) or 'not on the Hub'})"
        elif one.get("path"):
            yield f"own rows ({Path(str(one['path'])).name})"
    if traces := recipe.get("teacher_traces"):
        yield f"a teacher's traces ({', '.join(Path(str(path)).name for path in traces.get('data', []))})"
    if recipe.get("general"):
        yield "requests whose responses reward models judge"
