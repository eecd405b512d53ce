"""Every switch that clients have for thinking, whoever's it is, read into one ``Thinking``.

=====================================================  ==========================================  ====================
switch                                                 whose                                       means
=====================================================  ==========================================  ====================
``chat_template_kwargs.enable_thinking``, ``.thinking``  vLLM, SGLang, llama.cpp (Qwen, DeepSeek)  on or off
``enable_thinking``                                    Qwen's API                                  on or off
``thinking.type``                                      DeepSeek                                    on or off
``think``                                              Ollama                                      on, off or an effort
``reasoning.enabled``                                  OpenRouter                                  on or off
``reasoning_effort``, ``reasoning.effort``             OpenAI                                      an effort; none: off
``thinking_token_budget``                              vLLM                                        tokens
``thinking_budget`` (also in ``chat_template_kwargs``)  Qwen's API                                 tokens
``thinking.budget_tokens``                             Anthropic                                   tokens
``reasoning.max_tokens``                               OpenRouter                                  tokens
``include_reasoning``, ``reasoning.exclude``           OpenRouter, vLLM                            whether it is shown
``separate_reasoning``                                 SGLang                                      false: in the content
``stream_reasoning``                                   SGLang                                      false: in one piece
=====================================================  ==========================================  ====================

An effort limits the thought to a share of the reply's limit (``max_tokens``, or what the context leaves): minimal
1/16, low 1/8, medium 1/4. With high, xhigh and max a thought has no limit of its own: our models were trained to think
for as long as they need. A budget of 0 is off, one of -1 no limit. Naming an effort or a budget means on.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, Tag

from thinkwright.serving.apis.bodies import WHOLE, Flag, one_of
from thinkwright.serving.ask import BadRequest, Thinking

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORT_SHARES: dict[str, float | None] = {
    "minimal": 1 / 16,
    "low": 1 / 8,
    "medium": 1 / 4,
    "high": None,
    "xhigh": None,
    "max": None,
}
_Budget = Annotated[int, Field(strict=True, ge=-1), WHOLE]
Think = Annotated[Annotated[bool, Tag("flag")] | Annotated[Effort, Tag("text")], one_of("true, false or an effort")]
_T = TypeVar("_T")


class TemplateSwitches(BaseModel):
    """What is given to the chat template."""

    enable_thinking: Flag | None = None
    thinking: Flag | None = None
    thinking_budget: _Budget | None = None


class ThinkingSwitch(BaseModel):
    """DeepSeek's, with Anthropic's budget."""

    type: Literal["enabled", "disabled"] | None = None
    budget_tokens: _Budget | None = None


class ReasoningSwitch(BaseModel):
    """OpenAI's and OpenRouter's."""

    effort: Effort | None = None
    max_tokens: _Budget | None = None
    exclude: Flag | None = None
    enabled: Flag | None = None


class Switches(BaseModel):
    """Of a request."""

    chat_template_kwargs: TemplateSwitches | None = None
    thinking: ThinkingSwitch | None = None
    reasoning: ReasoningSwitch | None = None
    reasoning_effort: Effort | None = None
    think: Think | None = None
    enable_thinking: Flag | None = None
    thinking_token_budget: _Budget | None = None
    thinking_budget: _Budget | None = None
    include_reasoning: Flag | None = None
    separate_reasoning: Flag | None = None
    stream_reasoning: Flag | None = None


def thinking_of(switches: Switches) -> Thinking:
    """What the switches mean together. Raises BadRequest, naming both, if two contradict each other."""
    given = _given(switches.model_dump(include=set(Switches.model_fields), exclude_none=True))
    efforts = [(name, level) for name, level in _of(given, _EFFORTS, str) if level != "none"]
    budgets = [(name, tokens) for name, tokens in _of(given, _BUDGETS, int) if tokens != 0]
    is_on = _agreed(_claims_of_on(given))
    effort, budget = _agreed(efforts), _agreed(budgets)
    shown = _of(given, ("include_reasoning",), bool)
    is_shown = _agreed([*shown, *((name, not value) for name, value in _of(given, ("reasoning.exclude",), bool))])
    return Thinking(
        is_on=is_on is not False,
        max_tokens=budget if budget is not None and budget > 0 else None,
        effort=EFFORT_SHARES[effort] if effort else None,
        is_shown=is_shown is not False,
        is_apart=given.get("separate_reasoning") is not False,
        is_streamed=given.get("stream_reasoning") is not False,
    )


_FLAGS = (
    "chat_template_kwargs.enable_thinking",
    "chat_template_kwargs.thinking",
    "enable_thinking",
    "think",
    "reasoning.enabled",
)
_EFFORTS = ("reasoning_effort", "reasoning.effort", "think")
_BUDGETS = (
    "thinking_token_budget",
    "thinking_budget",
    "chat_template_kwargs.thinking_budget",
    "thinking.budget_tokens",
    "reasoning.max_tokens",
)


def _given(switches: dict[str, Any]) -> dict[str, Any]:
    """The switches that were set, by their full names."""
    flat: dict[str, Any] = {}
    for name, value in switches.items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _of(given: dict[str, Any], names: Iterable[str], kind: type[_T]) -> list[tuple[str, _T]]:
    """Those of some names whose value is of one kind, for ``think`` has two; to Python, a flag is a number."""
    return [(name, given[name]) for name in names if type(given.get(name)) is kind]


def _claims_of_on(given: dict[str, Any]) -> list[tuple[str, bool]]:
    claims = _of(given, _FLAGS, bool)
    claims += [("thinking.type", kind == "enabled") for _, kind in _of(given, ("thinking.type",), str)]
    claims += [(name, level != "none") for name, level in _of(given, _EFFORTS, str)]
    return claims + [(name, tokens != 0) for name, tokens in _of(given, _BUDGETS, int)]


def _agreed(claims: list[tuple[str, _T]]) -> _T | None:
    """What all of them say; None if nothing does."""
    if not claims:
        return None
    name, value = claims[0]
    for other, differing in claims[1:]:
        if differing != value:
            raise BadRequest(f"{name} and {other} contradict each other; send one of them")
    return value
