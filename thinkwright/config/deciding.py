"""What of a recipe decides the result of its run, and what may change on the way."""

from typing import Any, cast

_REACHES = frozenset(
    {"url", "key_variable", "timeout_seconds", "retries", "concurrency", "tries"}
    | {"max_no_verdict_share", "max_unusable_share"}
)
"""Keys of a served model that change when a run stops, never what it makes."""
_MEANS = frozenset(
    {"micro_batch_tokens", "recompute_activations", "slots", "memory_gb", "workers"}
    | {"checkpoint_steps", "kept_checkpoints", "alarms", "max_error_share", "mirror", "ranks", "deadline_seconds"}
)
"""Keys of any part that change speed, memory, what is kept and what is said."""
_SAMPLERS = frozenset({"engines", "vllm"})


def deciding(recipe: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe without what changes speed, memory, what is kept and shown, how a served model is reached, when
    a run gives up, and over how many processes it is spread.

    Two recipes that differ in nothing else make the same, so a run may be resumed with other ones.
    """
    kept = _deciding(recipe)
    if isinstance(kept.get("rollout"), dict):
        # Our engines sample the same wherever they are; vLLM's draws are its own, however many servers.
        rollout = cast("dict[str, Any]", kept["rollout"])
        kept["rollout"] = {key: value for key, value in rollout.items() if key not in _SAMPLERS}
        kept["rollout"]["is_vllm"] = rollout.get("vllm") is not None
    return kept


def _deciding(part: dict[str, Any]) -> dict[str, Any]:
    is_endpoint = {"url", "key_variable", "timeout_seconds"} <= part.keys()
    left_out = _MEANS | (_REACHES if is_endpoint else frozenset[str]())
    kept = {key: value for key, value in part.items() if key not in left_out}
    tables = {key: cast("dict[str, Any]", value) for key, value in kept.items() if isinstance(value, dict)}
    return kept | {key: _deciding(table) for key, table in tables.items()}
