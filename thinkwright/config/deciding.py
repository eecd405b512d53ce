"""What of a recipe decides the result of its run, and what may change on the way."""

import json
from typing import Any, cast

from thinkwright.config.load import parse_recipe, resolved_json
from thinkwright.errors import RecipeError

_MEANS = {
    "": {
        *("checkpoint_steps", "kept_checkpoints", "alarms", "mirror"),
        *("micro_batch_tokens", "recompute_activations", "workers", "max_error_share"),
    },
    "machine": {"ranks", "deadline_seconds"},
    "rollout": {"slots", "memory_gb", "engines", "vllm"},
    "optimizer": {"micro_batch_tokens", "recompute_activations"},
    "rewards": {"workers", "max_error_share"},
}
"""Keys that change speed, memory, what is kept, what is said and when a run gives up, by their part of the recipe."""
_REACHES = frozenset(
    {"url", "key_variable", "timeout_seconds", "retries", "concurrency", "tries"}
    | {"max_no_verdict_share", "max_unusable_share"}
)
"""Keys of a served model that change when a run stops, never what it makes."""


def deciding(recipe: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe without what changes speed, memory, what is kept and shown, how a served model is reached, when
    a run gives up, and over how many processes it is spread.

    Two recipes that differ in nothing else make the same, so a run may be resumed with other ones.
    """
    recipe = _as_today(recipe)
    kept = {key: value for key, value in _without_reach(recipe).items() if key not in _MEANS[""]}
    for name, means in _MEANS.items():
        if isinstance(part := kept.get(name), dict):
            kept[name] = {key: value for key, value in cast("dict[str, Any]", part).items() if key not in means}
    if isinstance(rollout := recipe.get("rollout"), dict):
        # Our engines sample the same wherever they are; vLLM's draws are its own, however many servers.
        kept["rollout"]["is_vllm"] = cast("dict[str, Any]", rollout).get("vllm") is not None
    if cast("dict[str, Any]", recipe.get("algorithm", {})).get("entropy") == "high_entropy":
        # Which tokens are learned from is told within each micro-batch.
        kept["optimizer"]["micro_batch_tokens"] = recipe["optimizer"]["micro_batch_tokens"]
    return kept


def _as_today(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe that an earlier version wrote, as this one would; itself if it is none of today's."""
    try:
        return cast("dict[str, Any]", json.loads(resolved_json(parse_recipe("recipe", recipe))))
    except RecipeError:
        return recipe


def _without_reach(part: dict[str, Any]) -> dict[str, Any]:
    tables = {key: cast("dict[str, Any]", value) for key, value in part.items() if isinstance(value, dict)}
    is_endpoint = {"url", "key_variable", "timeout_seconds"} <= part.keys()
    kept = {key: value for key, value in part.items() if not (is_endpoint and key in _REACHES)}
    return kept | {key: _without_reach(table) for key, table in tables.items()}
