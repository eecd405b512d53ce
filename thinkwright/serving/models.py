"""The models of a server: found, their tokenizers loaded, their backends made."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.serving import ServeSettings
from thinkwright.errors import ModelError, RecipeError
from thinkwright.models.model_folder import LOADING
from thinkwright.models.reward_model import READING_FILE
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.model_source import ModelSource, find_model
from thinkwright.serving.engines.backend import Backend
from thinkwright.serving.engines.native_backend import NativeBackend
from thinkwright.serving.engines.several_backends import SeveralBackends, shared_settings
from thinkwright.serving.engines.vllm_backend import VllmBackend
from thinkwright.serving.prompter import Prompter
from thinkwright.serving.reply import Defaults, ModelDesk

_CHECKPOINTS = "checkpoints/step_*"


async def open_desks(settings: ServeSettings) -> dict[str, ModelDesk]:
    """Every model, ready to answer, by name. Raises ThinkwrightError for one that cannot be served."""
    if settings.vllm is not None and settings.follow:
        raise RecipeError("--follow: a vLLM server keeps its own weights; leave it or --vllm out")
    finders = [_finder(model, settings) for model in settings.models]
    sources = [await asyncio.to_thread(find) for find in finders]
    if twice := [name for name, count in Counter(source.name for source in sources).items() if count > 1]:
        raise RecipeError(f"two models are called {twice[0]}; serve one of them from a folder of another name")
    if settings.vllm is not None and len(sources) > 1:
        raise RecipeError("--vllm stands for one model; give one MODEL with it")
    desks: dict[str, ModelDesk] = {}
    try:
        for find, source in zip(finders, sources, strict=True):
            desks[source.name] = await _open_desk(find, source, settings)
    except BaseException:
        await close_desks(desks)
        raise
    return desks


async def close_desks(desks: dict[str, ModelDesk]) -> None:
    """End all backends."""
    await asyncio.gather(*(desk.backend.close() for desk in desks.values()))


def _finder(model: str, settings: ServeSettings) -> Callable[[], ModelSource]:
    """Finds the model again at every start and reload: its newest weights."""
    return lambda: newest_source(model) if settings.follow else find_model(model)


def newest_source(model: str) -> ModelSource:
    """The newest checkpoint of a run under the run's name; its final model if there is one, or of anything else."""
    path = Path(model).expanduser()
    checkpoints = sorted(path.glob(_CHECKPOINTS))
    if not checkpoints or (path / "model" / "config.json").is_file():
        return find_model(model)
    return replace(find_model(str(checkpoints[-1])), name=_plain(path.resolve().name))


async def _open_desk(find: Callable[[], ModelSource], source: ModelSource, settings: ServeSettings) -> ModelDesk:
    if source.endpoint is not None:
        raise ModelError(
            f"{source.location}: is served already; ask it with thinkwright chat, or put a vLLM server behind this one "
            "with --vllm URL#NAME and the model's folder as MODEL"
        )
    location = resolve_model_name(source.location)
    if (Path(location) / READING_FILE).exists():
        raise ModelError(f"{source.location}: is a reward model, which writes no replies; give the policy it judged")
    template = source.template or settings.template
    if template is not None and template not in TEMPLATES:
        raise RecipeError(f"--template {template}: there is none of this name, only {', '.join(TEMPLATES)}")
    tokenizer, config = await asyncio.to_thread(_load, location)
    prompter = _prompter(source, tokenizer, template)
    backend = _backend(find, settings, prompter)
    await backend.start()
    prompter.end_ids = frozenset(_end_ids(backend, tokenizer, Path(location)))
    return ModelDesk(
        name=source.name,
        prompter=prompter,
        backend=backend,
        defaults=_defaults(Path(location), has_own_template=template is None),
        created=int(time.time()),
        details=_details(source, config, backend),
    )


def _load(location: str) -> tuple[Any, Any]:
    try:
        config = AutoConfig.from_pretrained(location, **LOADING)
        return AutoTokenizer.from_pretrained(location, config=config, **LOADING), config
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{location}: its tokenizer or config.json cannot be read ({error})") from error


def _prompter(source: ModelSource, tokenizer: Any, template: str | None) -> Prompter:
    if not tokenizer.is_fast:
        raise ModelError(f"{source.name}: its tokenizer is not of the fast kind (tokenizer.json), which streams need")
    try:
        return Prompter(tokenizer, template)
    except ModelError as error:
        raise ModelError(f"{source.name}: {error}") from error


def _backend(find: Callable[[], ModelSource], settings: ServeSettings, prompter: Prompter) -> Backend:
    if settings.vllm is not None:
        return VllmBackend(settings.vllm, settings.engine, prompter)
    if settings.engine.engines == 1:
        return NativeBackend(find, settings.engine, prompter.head_ids())
    each = shared_settings(settings.engine)
    return SeveralBackends([NativeBackend(find, each, prompter.head_ids()) for _ in range(settings.engine.engines)])


def _end_ids(backend: Backend, tokenizer: Any, folder: Path) -> Sequence[int]:
    """As ``Policy.end_ids``: the tokenizer's, and those that generation_config.json adds."""
    if isinstance(backend, NativeBackend | SeveralBackends):
        return backend.facts.end_ids
    listed = _generation_config(folder).get("eos_token_id")
    found = (tokenizer.eos_token_id, *([listed] if isinstance(listed, int) else listed or []))
    return [token_id for token_id in found if token_id is not None]


def _defaults(folder: Path, *, has_own_template: bool) -> Defaults:
    """R1's; of a model that brings its own template, those of its generation_config.json where it names any."""
    if not has_own_template:
        return Defaults()
    said = _generation_config(folder)
    if said.get("do_sample") is False:
        return Defaults(temperature=0.0)
    names = ("temperature", "top_p", "top_k", "min_p")
    return replace(Defaults(), **{name: said[name] for name in names if isinstance(said.get(name), int | float)})


def _generation_config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _details(source: ModelSource, config: Any, backend: Backend) -> dict[str, str]:
    found = {"family": str(config.model_type), "location": str(source.checkpoint or source.location)}
    if isinstance(backend, NativeBackend | SeveralBackends):
        found |= {"parameters": str(backend.facts.num_parameters), "dtype": backend.facts.dtype}
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "model"
