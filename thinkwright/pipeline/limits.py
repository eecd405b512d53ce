"""Whether what a run will sample fits the model's context and the memory, seen before it starts."""

from collections.abc import Sequence

from thinkwright.config.recipe import RolloutSettings
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.types import Prompt


def longest_prompt(policy: Policy, rollout: RolloutSettings, seed: int, prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """Its token ids. Raises ModelError if a completion of it could not fit the policy's context or the memory."""
    requests = [RolloutRequest(p.prompt_id, policy.encode(p.text)) for p in prompts]
    longest = max(requests, key=lambda request: len(request.prompt_ids))
    settings = SamplingSettings(1, rollout.max_response_tokens, rollout.temperature, seed, step=0)
    NativeEngine(policy, rollout.slots, rollout.memory_bytes).check([longest], settings)
    return longest.prompt_ids
