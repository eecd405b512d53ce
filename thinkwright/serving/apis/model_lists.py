"""What clients are told of the models: OpenAI's lists and Ollama's."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from thinkwright.serving.apis.ollama_common import date_time
from thinkwright.serving.reply import ModelDesk

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_UNITS = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K"))


def openai_models(desks: Mapping[str, ModelDesk]) -> dict[str, Any]:
    """``GET /v1/models``."""
    return {"object": "list", "data": [openai_model(desk) for desk in desks.values()]}


def openai_model(desk: ModelDesk) -> dict[str, Any]:
    """``GET /v1/models/{name}``; ``max_model_len`` as vLLM tells it."""
    return {
        "id": desk.name,
        "object": "model",
        "created": desk.created,
        "owned_by": "thinkwright",
        "max_model_len": desk.backend.context,
    }


def ollama_tags(desks: Mapping[str, ModelDesk]) -> dict[str, Any]:
    """``GET /api/tags``."""
    return {"models": [_tag(desk) for desk in desks.values()]}


def ollama_version(desks: Mapping[str, ModelDesk]) -> dict[str, Any]:
    """``GET /api/version``: of this package."""
    return {"version": version("thinkwright")}


def ollama_show(desk: ModelDesk) -> dict[str, Any]:
    """``POST /api/show``."""
    family = desk.details.get("family", "")
    info: dict[str, Any] = {"general.architecture": family, f"{family}.context_length": desk.backend.context}
    if (count := _num_parameters(desk)) is not None:
        info["general.parameter_count"] = count
    defaults = desk.defaults
    rows = {
        "num_ctx": desk.backend.context,
        "temperature": defaults.temperature,
        "top_p": defaults.top_p,
        "top_k": defaults.top_k,
        "min_p": defaults.min_p,
    }
    return {
        "modelfile": f"FROM {desk.name}\n",
        "parameters": "\n".join(f"{name:<30} {value}" for name, value in rows.items()),
        "template": desk.prompter.jinja,
        "details": _details(desk),
        "model_info": info,
        "capabilities": ["completion", *(["thinking"] if desk.prompter.has_thought else [])],
        "modified_at": date_time(desk.created),
    }


def _tag(desk: ModelDesk) -> dict[str, Any]:
    facts = f"{desk.details.get('location', desk.name)} {desk.backend.load().version}"
    return {
        "name": desk.name,
        "model": desk.name,
        "modified_at": date_time(desk.created),
        "size": (_num_parameters(desk) or 0) * _BYTES.get(desk.details.get("dtype", ""), 0),
        "digest": hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest(),
        "details": _details(desk),
    }


def _details(desk: ModelDesk) -> dict[str, Any]:
    family = desk.details.get("family", "")
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": _short(_num_parameters(desk)),
        "quantization_level": desk.details.get("dtype", ""),
    }


def _num_parameters(desk: ModelDesk) -> int | None:
    text = desk.details.get("parameters", "")
    return int(text) if text.isdecimal() else None


def _short(count: int | None) -> str:
    """As Ollama writes it: ``1.2M``."""
    if count is None:
        return ""
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if count >= unit), (1, ""))
    return f"{count / unit:.1f}{letter}"
