"""What a command's MODEL may be: a folder, a run, a stage, a pipeline, a checkpoint, a Hub name, or a served model."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from thinkwright.config.endpoint import Endpoint
from thinkwright.config.lora import LoRASettings
from thinkwright.errors import ModelError
from thinkwright.models.adapters import add_to
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.reward_model import READING_FILE
from thinkwright.models.shipped import SHIPPED, resolve_model_name
from thinkwright.run_folder import RECIPE_FILE, read_json
from thinkwright.training.checkpoint import PROGRESS_FILE, load_checkpoint_weights

_CHECKPOINT = re.compile(r"step_\d+")


@dataclass(frozen=True)
class ModelSource:
    """Where a model is."""

    name: str
    """As tables and folders call it."""
    location: str
    """What ``load_policy`` takes; of a checkpoint, the model it was trained from."""
    template: str | None = None
    """How its run put questions, if a run is known."""
    run: Path | None = None
    """The run folder it came from."""
    checkpoint: Path | None = None
    """A checkpoint whose weights take the place of the model's."""
    endpoint: Endpoint | None = None
    """The server, for a served model."""


def find_model(text: str) -> ModelSource:
    """What the MODEL of a command means. Raises ModelError, naming what was looked for, if it means nothing here."""
    if re.match(r"https?://", text):
        return _served(text)
    if text in SHIPPED:
        return ModelSource(text, text, template="r1_zero")
    path = Path(resolve_model_name(text))
    if (path / PROGRESS_FILE).is_file():
        return _checkpoint(path)
    if (path / "config.json").is_file():
        return _model_folder(path)
    if (path / "recipe.json").is_file() or (path / "pipeline.json").is_file():
        return _run(path)
    if path.exists():
        raise ModelError(
            f"{text}: neither a model (config.json), nor a run (recipe.json or pipeline.json), nor a checkpoint "
            f"({PROGRESS_FILE}); give one of these"
        )
    return ModelSource(_plain(text), text)


def load_source(source: ModelSource, *, device: torch.device, dtype: torch.dtype) -> Policy:
    """Load a model of this machine or the Hub. Raises ModelError as ``load_policy``, or if a checkpoint is damaged."""
    policy = load_policy(resolve_model_name(source.location), device=device, dtype=dtype)
    if source.checkpoint is None:
        return policy
    weights = load_checkpoint_weights(source.checkpoint)
    if any(".lora_" in name for name in weights):
        recipe = read_json(source.checkpoint.parents[1] / RECIPE_FILE)
        add_to(policy, weights, LoRASettings.model_validate(recipe["lora"]))
        return policy
    params = dict(policy.model.named_parameters())
    if {name: tuple(w.shape) for name, w in weights.items()} != {name: tuple(p.shape) for name, p in params.items()}:
        raise ModelError(f"{source.checkpoint}: its weights are not those of {source.location}; was the model changed?")
    with torch.no_grad():
        for name, param in params.items():
            param.copy_(weights[name])
    return policy


def _served(text: str) -> ModelSource:
    url, _, name = text.partition("#")
    if not name:
        raise ModelError(f"{text}: does not say what the server calls the model; write {url}#NAME")
    try:
        endpoint = Endpoint(url=url, name=name)
    except ValidationError as error:
        raise ModelError(f"{text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
    return ModelSource(_plain(name), url, endpoint=endpoint)


def _model_folder(path: Path) -> ModelSource:
    run = path.parent if path.name == "model" and (path.parent / "recipe.json").is_file() else None
    if run is not None:
        return _run(run)
    return ModelSource(_plain(path.resolve().name), str(path))


def _run(path: Path) -> ModelSource:
    """A run's model; of a pipeline that of the last stage that made one."""
    stages = sorted(
        found for found in path.glob("stages/*-*/model/config.json") if not (found.parent / READING_FILE).exists()
    )
    if (path / "pipeline.json").is_file() and stages:
        found = _run(stages[-1].parent.parent)
        return ModelSource(f"{_plain(path.resolve().name)}-{found.name}", found.location, found.template, found.run)
    if not (path / "model" / "config.json").is_file():
        raise ModelError(
            f"{path}: the run has made no model yet; wait for its end, or give one of its checkpoints, such as "
            f"{path}/checkpoints/step_000020"
        )
    return ModelSource(_plain(path.resolve().name), str(path / "model"), _recipe(path).get("template"), path)


def _checkpoint(path: Path) -> ModelSource:
    run = path.resolve().parent.parent
    recipe = _recipe(run) if (run / "recipe.json").is_file() else {}
    start = recipe.get("model")
    if not isinstance(start, str) or not _CHECKPOINT.fullmatch(path.resolve().name):
        raise ModelError(f"{path}: a checkpoint is evaluated within its run folder, whose recipe.json names its model")
    return ModelSource(f"{_plain(run.name)}-{path.resolve().name}", start, recipe.get("template"), run, path)


def _recipe(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{run}/recipe.json: cannot be read ({error}); is this a run folder?") from error


def _plain(text: str) -> str:
    """A name that may be a folder's."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "model"
