"""What vLLM's ``/inference/v1/generate`` answers, checked and turned into rollouts."""

import math
from typing import Any

from thinkwright.errors import EndpointError
from thinkwright.models.policy import Policy
from thinkwright.rollout.completions import limit_of
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.types import Rollout


def rollouts_of(
    answer: dict[str, Any],
    url: str,
    policy: Policy,
    request: RolloutRequest,
    settings: SamplingSettings,
    versions: range,
    asked_for: int | None = None,
) -> tuple[Rollout, ...]:
    """The group of a request. ``asked_for``: the version of the adapters it named; None: the answer tells which weights
    gave it. Raises EndpointError for an answer of no form, or one by weights of no such version."""
    try:
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        if asked_for is not None:
            choices = [choice | {"weight_versions": [{"start": 0, "version": asked_for}]} for choice in choices]
        if len(choices) != settings.group_size:
            raise ValueError(f"{len(choices)} completions, {settings.group_size} were asked for")
        return tuple(
            _rollout(choice, policy, request, settings, member, versions) for member, choice in enumerate(choices)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EndpointError(f"{url}: its answer cannot be used ({type(error).__name__} {error})") from error


def _rollout(
    choice: dict[str, Any],
    policy: Policy,
    request: RolloutRequest,
    settings: SamplingSettings,
    member: int,
    versions: range,
) -> Rollout:
    """Raises ValueError, TypeError or KeyError for what is no whole completion by weights of these versions."""
    drawn = [int(token) for token in choice["token_ids"]]
    logprobs = [float(entry["logprob"]) for entry in choice["logprobs"]["content"]]
    if choice["finish_reason"] not in ("stop", "length") or not drawn or len(logprobs) != len(drawn):
        raise ValueError(f"finish_reason {choice['finish_reason']}, {len(drawn)} tokens, {len(logprobs)} logprobs")
    if not all(math.isfinite(logprob) for logprob in logprobs):
        raise ValueError("a log-probability is not finite")
    spans = [(int(span["start"]), int(span["version"])) for span in choice["weight_versions"]]
    if not spans or any(version not in versions for _, version in spans):
        raise ValueError(f"weights of version {spans} gave it, not of {versions[0]} to {versions[-1]}")
    start, limit = request.forced_start, limit_of(request, settings, member)
    ids = (*start, *drawn)[:limit]
    has_ended = not settings.ignore_end and ids[-1] in policy.end_ids and len(ids) == len(start) + len(drawn)
    told = (*(0.0 for _ in start), *logprobs)[:limit]
    return Rollout(
        token_ids=ids,
        logprobs=told,
        untempered_logprobs=told if settings.temperature == 1 and not settings.is_cut else (),
        is_forced=tuple(i < len(start) for i in range(len(ids))),
        text=policy.tokenizer.decode(
            ids[:-1] if has_ended else ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        ),
        finish_reason="stop" if has_ended else "length",
        policy_version=spans[0][1],
        version_changes=tuple(
            (len(start) + first, version) for first, version in spans[1:] if len(start) + first < len(ids)
        ),
    )
