"""Plans the memory of a call before it starts, so that what was begun can be finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from thinkwright.errors import ModelError
from thinkwright.models.key_value_store import PAGE
from thinkwright.models.paged_attention import MIN_ROWS, round_up
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings

FREE_SHARE = {"cuda": 0.8}
"""Share of the free memory that keys and values may take where no amount is given; elsewhere half."""
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryPlan:
    """What a call reserves: every slot can run its completion to the limit."""

    num_slots: int
    num_prompts: int
    """Prompts whose keys and values can be held at once."""
    prompt_tokens: int
    """Tokens of the longest prompt after the common prefix."""
    num_pages: int
    """Pages of the pool, rounded up as its attention needs them, and one where fillers write."""


def check_lengths(policy: Policy, requests: Sequence[RolloutRequest], settings: SamplingSettings) -> None:
    """Raises ModelError if a prompt with its completion would not fit the model's context, or is empty."""
    max_tokens = settings.max_tokens
    for request in requests:
        if not request.prompt_ids:
            raise ModelError(f"prompt {request.prompt_id} is empty; give it at least one token")
        if len(request.forced_start) >= min(request.max_tokens or (max_tokens,)):
            raise ModelError(
                f"prompt {request.prompt_id}: the {len(request.forced_start)} tokens its completions begin with leave "
                f"no room within {max_tokens}; raise rollout.max_response_tokens"
            )
        budget = settings.thinking_budget
        if budget is not None and len(request.forced_start) > budget.max_tokens:
            raise ModelError(
                f"prompt {request.prompt_id}: the {len(request.forced_start)} tokens its completions begin with are "
                f"more than the thinking budget of {budget.max_tokens}; raise the budget"
            )
    longest = max(requests, key=lambda request: len(request.prompt_ids) + max(request.max_tokens or (max_tokens,)))
    limit = max(longest.max_tokens or (max_tokens,))
    needed = len(longest.prompt_ids) + limit
    if needed > policy.max_positions:
        raise ModelError(
            f"prompt {longest.prompt_id} has {len(longest.prompt_ids)} tokens; "
            f"with {limit} response tokens that is {needed}, "
            f"more than the model's context of {policy.max_positions}; "
            "lower rollout.max_response_tokens or drop the prompt"
        )


def plan_memory(
    policy: Policy,
    settings: SamplingSettings,
    *,
    num_prefix: int,
    prompt_tokens: int,
    num_prompts: int,
    max_slots: int,
    memory_bytes: int | None,
) -> MemoryPlan:
    """As many slots as fit, up to ``max_slots``, for so many prompts at once of so many tokens after the prefix.

    Raises ModelError, with what would fit, if not even one does.
    """
    token_bytes = key_value_bytes(policy)
    budget = free_bytes(policy.device) if memory_bytes is None else memory_bytes
    pages = -(-settings.max_tokens // PAGE)

    def needed_bytes(num_slots: int) -> int:
        # At worst every slot runs a completion of another prompt: the last members of many groups.
        prompts = min(num_slots, num_prompts) * prompt_tokens
        return (num_prefix + prompts + (round_up(num_slots * pages) + 1) * PAGE) * token_bytes

    num_slots = min(max_slots, num_prompts * settings.group_size)
    while num_slots and needed_bytes(num_slots) > budget:
        num_slots -= 1
    if num_slots == 0:
        left_pages = (budget // token_bytes - num_prefix - prompt_tokens) // PAGE - 1
        left = left_pages // MIN_ROWS * MIN_ROWS * PAGE
        remedy = f"lower rollout.max_response_tokens to {left}" if left > 0 else "shorten the prompts"
        raise ModelError(
            f"sampling needs {_mib(needed_bytes(1))} for the keys and values of one completion of "
            f"{settings.max_tokens} tokens, and has {_mib(budget)}; {remedy}, or raise rollout.memory_gb"
        )
    return MemoryPlan(num_slots, min(num_slots, num_prompts), prompt_tokens, round_up(num_slots * pages) + 1)


def plan_live_memory(
    policy: Policy, *, num_slots: int, prompt_tokens: int, completion_tokens: int, memory_bytes: int | None
) -> MemoryPlan:
    """For so many requests at once, each of a prompt and a completion of up to so many tokens that is not known yet.

    Raises ModelError, with what would fit, if the memory or the model's context is too small.
    """
    if min(num_slots, prompt_tokens, completion_tokens) < 1:
        raise ModelError("num_slots, max_prompt_tokens and max_completion_tokens must be 1 or more")
    for name, tokens in (("max_prompt_tokens", prompt_tokens), ("max_completion_tokens", completion_tokens)):
        if tokens >= policy.max_positions:
            raise ModelError(
                f"{name} = {tokens} leaves no room in the model's context of {policy.max_positions}; "
                f"lower it to {policy.max_positions - 1} or less"
            )
    pages = -(-completion_tokens // PAGE)
    budget = free_bytes(policy.device) if memory_bytes is None else memory_bytes

    def needed_bytes(slots: int) -> int:
        return (slots * prompt_tokens + (round_up(slots * pages) + 1) * PAGE) * key_value_bytes(policy)

    if needed_bytes(num_slots) > budget:
        fitting = next((slots for slots in range(num_slots, 0, -1) if needed_bytes(slots) <= budget), 0)
        remedy = f"lower num_slots (--slots) to {fitting}"
        if not fitting:
            remedy = "lower max_prompt_tokens and max_completion_tokens (--max-prompt-tokens, --max-tokens)"
        raise ModelError(
            f"the keys and values of {num_slots} requests of {prompt_tokens} + {completion_tokens} tokens need "
            f"{_mib(needed_bytes(num_slots))}, and there are {_mib(budget)}; {remedy}"
        )
    return MemoryPlan(num_slots, num_slots, prompt_tokens, round_up(num_slots * pages) + 1)


def key_value_bytes(policy: Policy) -> int:
    """Bytes of keys and values of one token in all layers."""
    layers, heads, size = key_value_shape(policy)
    return 2 * layers * heads * size * policy.dtype.itemsize


def key_value_shape(policy: Policy) -> tuple[int, int, int]:
    """Layers, key-value heads, head size."""
    config: Any = policy.model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    num_kv = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return config.num_hidden_layers, num_kv, size


def free_bytes(device: torch.device) -> int:
    """Bytes that sampling may take on a device when the recipe does not say."""
    if device.type == "cuda":
        # What torch's allocator holds without using it is free as well.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + unused
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    else:
        free = min(psutil.virtual_memory().available, _cgroup_bytes())
    return int(free * FREE_SHARE.get(device.type, 0.5))


def _cgroup_bytes() -> int:
    """What a container's limit leaves, files that are only cached not counted; without one, more than there is."""
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return int(limit) - int(used) + int(statistics["inactive_file"])
    except (OSError, ValueError, KeyError):  # no cgroup version 2 here, or "max": no limit
        return 1 << 62


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"
