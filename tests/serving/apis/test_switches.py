"""Every switch for thinking, alone and together."""

from typing import Any

import pytest
from pydantic import ValidationError

from thinkwright.serving.apis.switches import Switches, thinking_of
from thinkwright.serving.ask import BadRequest, Thinking

OFF = Thinking(is_on=False)


def read(**switches: Any) -> Thinking:
    return thinking_of(Switches.model_validate(switches))


@pytest.mark.parametrize(
    "switches",
    [
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"thinking": False}},
        {"chat_template_kwargs": {"thinking_budget": 0}},
        {"enable_thinking": False},
        {"thinking": {"type": "disabled"}},
        {"think": False},
        {"think": "none"},
        {"reasoning": {"enabled": False}},
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"max_tokens": 0}},
        {"reasoning_effort": "none"},
        {"thinking_budget": 0},
        {"thinking_token_budget": 0},
        {"thinking_budget": 0, "think": False, "reasoning_effort": "none"},
    ],
)
def test_off(switches: dict[str, Any]) -> None:
    assert read(**switches) == OFF


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"think": True},
        {"think": None, "reasoning": None, "thinking": {}, "chat_template_kwargs": {"some_other": 1}},
        {"thinking": {"type": "enabled"}},
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "max", "summary": "auto"}},
        {"think": "xhigh"},
        {"thinking_budget": -1},
    ],
)
def test_on_without_a_limit(switches: dict[str, Any]) -> None:
    assert read(**switches) == Thinking()


@pytest.mark.parametrize(
    ("switches", "thinking"),
    [
        ({"reasoning_effort": "minimal"}, Thinking(effort=1 / 16)),
        ({"reasoning": {"effort": "low"}}, Thinking(effort=1 / 8)),
        ({"think": "medium"}, Thinking(effort=1 / 4)),
        ({"thinking_budget": 100}, Thinking(max_tokens=100)),
        ({"thinking_token_budget": 100.0}, Thinking(max_tokens=100)),
        ({"chat_template_kwargs": {"thinking_budget": 100}}, Thinking(max_tokens=100)),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, Thinking(max_tokens=100)),
        ({"reasoning": {"max_tokens": 100, "effort": "low"}}, Thinking(max_tokens=100, effort=1 / 8)),
        ({"think": True, "reasoning_effort": "low"}, Thinking(effort=1 / 8)),
        ({"think": "low", "reasoning_effort": "low"}, Thinking(effort=1 / 8)),
        ({"reasoning": {"exclude": True}}, Thinking(is_shown=False)),
        ({"include_reasoning": False}, Thinking(is_shown=False)),
        ({"include_reasoning": True, "reasoning": {"exclude": False}}, Thinking()),
        ({"separate_reasoning": False}, Thinking(is_apart=False)),
        ({"stream_reasoning": False}, Thinking(is_streamed=False)),
    ],
)
def test_limits_and_forms(switches: dict[str, Any], thinking: Thinking) -> None:
    assert read(**switches) == thinking


@pytest.mark.parametrize(
    ("switches", "names"),
    [
        ({"think": True, "enable_thinking": False}, ("think", "enable_thinking")),
        ({"think": False, "reasoning_effort": "low"}, ("think", "reasoning_effort")),
        ({"think": "none", "thinking": {"type": "enabled"}}, ("think", "thinking.type")),
        ({"enable_thinking": False, "thinking_budget": 5}, ("enable_thinking", "thinking_budget")),
        ({"reasoning_effort": "low", "think": "high"}, ("reasoning_effort", "think")),
        ({"thinking_budget": 5, "reasoning": {"max_tokens": 6}}, ("thinking_budget", "reasoning.max_tokens")),
        (
            {"chat_template_kwargs": {"thinking": True, "enable_thinking": False}},
            ("chat_template_kwargs.thinking", "chat_template_kwargs.enable_thinking"),
        ),
        ({"include_reasoning": True, "reasoning": {"exclude": True}}, ("include_reasoning", "reasoning.exclude")),
    ],
)
def test_contradictions_are_refused_by_name(switches: dict[str, Any], names: tuple[str, str]) -> None:
    with pytest.raises(BadRequest, match="contradict each other") as found:
        read(**switches)
    assert set(str(found.value).removesuffix(" contradict each other; send one of them").split(" and ")) == set(names)


@pytest.mark.parametrize(
    ("switches", "allowed"),
    [
        ({"reasoning_effort": "much"}, "'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'"),
        ({"reasoning": {"effort": 3}}, "'minimal'"),
        ({"think": "much"}, "'minimal'"),
        ({"think": 1}, "must be true, false or an effort"),
        ({"thinking": {"type": "auto"}}, "'enabled' or 'disabled'"),
        ({"thinking": True}, "dictionary"),
        ({"thinking_budget": -2}, "greater than or equal to -1"),
        ({"thinking_budget": "5"}, "valid integer"),
        ({"enable_thinking": "yes"}, "valid boolean"),
    ],
)
def test_unknown_values_are_refused_with_what_is_allowed(switches: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ValidationError) as found:
        read(**switches)
    assert allowed in found.value.errors()[0]["msg"]
