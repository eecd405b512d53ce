"""Completions of a model that another program serves (OpenAI's chat API), thought and answer put together as ours."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from thinkwright.characters import HALF_CHARACTER
from thinkwright.errors import EndpointError
from thinkwright.evaluation.sample_store import Completion
from thinkwright.models.endpoint import ServedModel
from thinkwright.rollout.engine import SamplingSettings
from thinkwright.types import Prompt

TEMPLATE = "think_summary"
"""By which replies are told apart, once their thoughts stand between tags."""
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")


def sample_served(
    model: ServedModel, prompts: Sequence[Prompt], settings: SamplingSettings, temperature: float
) -> Iterator[tuple[Prompt, list[Completion]]]:
    """All completions of each prompt, as the last of them comes. Raises EndpointError if the server fails.

    Every completion is a request of its own with its own seed, for servers that heed one.
    """
    places = [(i, member) for i in range(len(prompts)) for member in range(settings.group_size)]
    bodies = [
        {
            "messages": [{"role": "user", "content": prompts[i].text}],
            "temperature": temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "seed": _seed(settings.seed, prompts[i].prompt_id, member),
        }
        for i, member in places
    ]
    found: list[list[Completion | None]] = [[None] * settings.group_size for _ in prompts]
    with closing(model.post_each("chat/completions", bodies)) as answers:
        for number, answer in answers:
            i, member = places[number]
            found[i][member] = _completion(model.settings.url, answer)
            whole = [one for one in found[i] if one is not None]
            if len(whole) == settings.group_size:
                yield prompts[i], whole


def _completion(url: str, answer: dict[str, Any]) -> Completion:
    try:
        choice, usage = answer["choices"][0], answer["usage"]
        message, num_tokens = choice["message"], int(usage["completion_tokens"])
        details: dict[str, Any] = usage.get("completion_tokens_details") or {}
        thought = next((message[name] for name in _THOUGHT_FIELDS if message.get(name)), "")
        content = message.get("content") or ""
        num_thinking = details.get("reasoning_tokens")
        text = f"<think>{thought}</think>{content}" if thought else str(content)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise EndpointError(
            f"{url}: its reply has no choices[0].message, or no usage.completion_tokens; is this an OpenAI chat API?"
        ) from error
    return Completion(
        HALF_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text),
        "length" if choice.get("finish_reason") == "length" else "stop",
        num_tokens,
        num_thinking_tokens=num_thinking if thought and isinstance(num_thinking, int) else None,
    )


def _seed(seed: int, prompt_id: str, member: int) -> int:
    return int(hashlib.sha256(f"eval/{seed}/{prompt_id}/{member}".encode()).hexdigest()[:7], 16)
