"""Our templates in the forms that other programs read: Jinja, transformers' response template, Ollama's Go template.

The Jinja one renders exactly ``Template.prompt`` for a single question. Beyond that it does what R1's does (the thought
of an earlier answer is dropped) and what llama.cpp and Ollama need to tell the thought apart: a branch that writes
``reasoning_content`` between the tags.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from thinkwright.chat.template import TEMPLATES, Template

_MARK = "\x00"
_REPLY = " Assistant:"
THOUGHT_OFF = " <think> </think>"
"""What stands after ``Assistant:`` where no thought is wanted: one that is over before a word of it."""

_TEXT_OF = """\
{%- macro text_of(content) -%}
{%- if content is string -%}
{{- content -}}
{%- elif content -%}
{%- for part in content -%}
{{- part.text -}}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""
# Texts that were written for the preamble's reader would confuse it as a message of their own: as DeepSeek asks of R1's
# users, the system's text goes into the question.
_CONVERSATION = """\
{%- set ns = namespace(system='', last_user=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- set ns.last_user = loop.index0 -%}
{%- endif -%}
{%- endfor -%}
{{- PREAMBLE -}}
{%- for message in messages -%}
{%- set content = text_of(message.content) -%}
{%- if message.role == 'system' or message.role == 'developer' -%}
{%- set ns.system = ns.system + content + '\\n\\n' -%}
{%- elif message.role == 'user' -%}
{{- BEFORE + ns.system + content + AFTER -}}
{%- set ns.system = '' -%}
{%- elif message.role == 'assistant' -%}
{{- REPLY -}}
ANSWER
{%- if loop.last and not add_generation_prompt -%}
{{- END -}}
{%- else -%}
{{- '\\n' -}}
{%- endif -%}
{%- else -%}
{{- raise_exception('messages are of system, user or assistant, not of ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- REPLY -}}
START
{%- endif -%}
"""
_PLAIN_ANSWER = "{{- ' ' + content.strip() -}}"
# The answer stands as it is given. Were R1-Zero's tags put around one without them, llama.cpp would take them for a
# part of every reply, and fail on one that lacks them.
_ANSWER_AFTER_THOUGHT = """\
{%- set thought = '' -%}
{%- if message.reasoning_content is string -%}
{%- set thought = message.reasoning_content.strip() -%}
{%- elif message.reasoning is string -%}
{%- set thought = message.reasoning.strip() -%}
{%- elif '</think>' in content -%}
{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip() -%}
{%- endif -%}
{%- if thought and loop.index0 > ns.last_user -%}
{{- ' <think> ' + thought + ' </think>' -}}
{%- endif -%}
{{- ' ' + content.split('</think>')[-1].strip() -}}"""
_START_AFTER_THOUGHT = """\
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- OFF -}}
{%- else -%}
{{- PREFILL -}}
{%- endif -%}"""
_START = "{{- PREFILL -}}"


@dataclass(frozen=True)
class ChatFormat:
    """How a model is asked and its reply told apart, for other programs."""

    name: str
    """Of our template; ``own`` if the model brought one."""
    jinja: str
    response_template: dict[str, Any] | None
    """transformers' ``response_template``; None if the model brought its own template."""
    go_template: str | None
    """For an Ollama that does not read the Jinja one; None if the model brought its own template."""
    prompt_example: tuple[str, str] | None
    """A question and the prompt it must become; None if the model brought its own template."""
    has_thought: bool
    """Whether the template has tags around the thought."""


def chat_format(template_name: str, end_token: str) -> ChatFormat:
    """The forms of one of our templates; ``end_token`` ends a reply."""
    template = TEMPLATES[template_name]
    question = "What is 12 + 7 - 3? 一共\n{{ 'x' }}"
    return ChatFormat(
        name=template_name,
        jinja=_jinja(template, end_token),
        response_template=_response_template(template, end_token),
        go_template=_go_template(template),
        prompt_example=(question, template.prompt(question)),
        has_thought=_has_thought(template),
    )


def own_format(jinja: str) -> ChatFormat:
    """The chat template that a model brought."""
    return ChatFormat("own", jinja, None, None, None, has_thought="<think>" in jinja and "</think>" in jinja)


@dataclass(frozen=True)
class _Parts:
    """A template's turn, taken apart."""

    before: str
    """What stands before the question."""
    after: str
    """What stands between the question and the reply's beginning."""
    prefill: str
    """What the prompt gives of the reply."""


def _parts(template: Template) -> _Parts:
    before, after = template.turn(_MARK).split(_MARK)
    instruction, _, prefill = after.rpartition(_REPLY)
    return _Parts(before, instruction, prefill)


def _has_thought(template: Template) -> bool:
    return "</think>" in template.write("thought", "answer")


def _jinja(template: Template, end_token: str) -> str:
    parts = _parts(template)
    words = {
        "PREAMBLE": template.preamble,
        "BEFORE": parts.before,
        "AFTER": parts.after,
        "REPLY": _REPLY,
        "END": end_token,
        "OFF": THOUGHT_OFF,
        "PREFILL": parts.prefill,
    }
    answer, start = _PLAIN_ANSWER, _START
    if _has_thought(template):
        answer, start = _ANSWER_AFTER_THOUGHT, _START_AFTER_THOUGHT
    text = _TEXT_OF + _CONVERSATION.replace("ANSWER", answer).replace("START", start)
    # All in one pass: what is put in is not looked through again.
    return re.sub(rf"\b({'|'.join(words)})\b", lambda found: _literal(words[found[0]]), text)


def _literal(text: str) -> str:
    """A Jinja string; Jinja reads the same escapes in it as JSON."""
    return json.dumps(text, ensure_ascii=False)


def _response_template(template: Template, end_token: str) -> dict[str, Any]:
    """What transformers tells a reply apart by; it reads the prompt, too, so a given ``<think>`` counts."""
    thought = {"open": "<think>", "close": "</think>", "content": "text"}
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": _REPLY,
        "fields": {
            **({"reasoning_content": thought} if _has_thought(template) else {}),
            "content": {"close": end_token, "content": "text"},
        },
    }


def _go_template(template: Template) -> str:
    """One line, for blanks count. Ollama finds the tags around ``.Thinking`` inside the range."""
    parts = _parts(template)
    thought = ""
    off = parts.prefill
    if _has_thought(template):
        is_last = "(eq (len (slice $.Messages $i)) 1)"
        thought = f"{{{{ if and .Thinking {is_last} }}}} <think> {{{{ .Thinking }}}} </think>{{{{ end }}}}"
        on = f"{{{{ else }}}}{parts.prefill}" if parts.prefill else ""
        off = f"{{{{ if and $.IsThinkSet (not $.Think) }}}}{THOUGHT_OFF}{on}{{{{ end }}}}"
    system = "{{ if and $.System (le $i 1) }}{{ $.System }}\\n\\n{{ end }}".replace("\\n", "\n")
    user = f'{{{{ if eq .Role "user" }}}}{parts.before}{system}{{{{ .Content }}}}{parts.after}'
    assistant = f'{{{{ else if eq .Role "assistant" }}}}{_REPLY}{thought} {{{{ .Content }}}}\n{{{{ end }}}}'
    return f"{template.preamble}{{{{ range $i, $_ := .Messages }}}}{user}{assistant}{{{{ end }}}}{_REPLY}{off}"
