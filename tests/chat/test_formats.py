"""Our templates, written for other programs, say what they say in training."""

import re
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from transformers.utils.chat_parsing import parse_response
from transformers.utils.chat_template_utils import render_jinja_template

from thinkwright.chat.formats import THOUGHT_OFF, ChatFormat, chat_format
from thinkwright.chat.template import TEMPLATES

END = "<|endoftext|>"
THINKING = tuple(name for name, template in TEMPLATES.items() if "</think>" in template.write("t", "a"))
QUESTIONS = ("What is 2 + 3?", "  two blanks\nand {{ braces }} {% if %} \\n \"quotes\" 'x'", "小明有3个苹果？🙂", "")


def render(chat: ChatFormat, messages: list[dict[str, Any]], **settings: Any) -> str:
    settings = {"add_generation_prompt": True, **settings}
    return render_jinja_template([messages], chat_template=chat.jinja, **settings)[0][0]


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **fields: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_single_question_is_put_as_in_training(name: str, question: str) -> None:
    chat = chat_format(name, END)
    assert render(chat, [user(question)]) == TEMPLATES[name].prompt(question)
    assert render(chat, [user(question)], enable_thinking=True) == TEMPLATES[name].prompt(question)
    assert render(chat, [user([{"type": "text", "text": question}])]) == TEMPLATES[name].prompt(question)


@pytest.mark.parametrize("name", THINKING)
def test_without_thinking_the_thought_is_over_at_once(name: str) -> None:
    prompt = render(chat_format(name, END), [user("q")], enable_thinking=False)
    assert prompt == TEMPLATES[name].prompt("q").removesuffix(" <think>") + " <think> </think>"
    assert prompt.endswith(THOUGHT_OFF)


def test_a_template_without_tags_has_no_switch() -> None:
    chat = chat_format("boxed", END)
    assert render(chat, [user("q")], enable_thinking=False) == TEMPLATES["boxed"].prompt("q")
    assert "think>" not in chat.jinja


@pytest.mark.parametrize("earlier", [assistant("<think> 1 </think> a"), assistant("a", reasoning_content="1")])
def test_earlier_thoughts_are_dropped(earlier: dict[str, Any]) -> None:
    template = TEMPLATES["think_summary"]
    prompt = render(chat_format("think_summary", END), [user("one"), earlier, user("two")])
    assert template.write_bare is not None
    assert prompt == f"{template.prompt('one')}{template.write_bare('a')}\n{template.turn('two')}"


def test_an_earlier_answer_of_r1_zero_keeps_its_tags() -> None:
    chat, template = chat_format("r1_zero", END), TEMPLATES["r1_zero"]
    for text in ("<answer> a </answer>", "<think> 1 </think> <answer> a </answer>"):
        prompt = render(chat, [user("one"), assistant(text), user("two")])
        assert prompt == f"{template.prompt('one')} <answer> a </answer>\n{template.turn('two')}"


@pytest.mark.parametrize("name", THINKING)
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_reply_after_the_last_question_keeps_its_thought(name: str, field: str) -> None:
    """What llama.cpp finds the tags by; and what fine-tuning on conversations reads: all a perfect model would emit."""
    template = TEMPLATES[name]
    whole = f"{template.prompt('q')}{template.write('1', 'a')}{END}"
    answer = whole.removesuffix(END).rpartition("</think> ")[2]
    chat = chat_format(name, END)
    assert render(chat, [user("q"), assistant(answer, **{field: "1"})], add_generation_prompt=False) == whole
    written = template.write("1", "a") if template.prefill == "" else f"<think>{template.write('1', 'a')}"
    assert render(chat, [user("q"), assistant(written)], add_generation_prompt=False) == whole


def test_a_systems_text_stands_before_the_first_question() -> None:
    messages = [{"role": "system", "content": "Be brief."}, user("one"), assistant("a"), user("two")]
    prompt = render(chat_format("think_summary", END), messages)
    assert prompt.count("Be brief.") == 1
    assert " User: Be brief.\n\none Assistant: a\n User: two Assistant:" in prompt


def test_other_roles_are_refused() -> None:
    with pytest.raises(TemplateError, match="not of tool"):
        render(chat_format("think_summary", END), [user("q"), {"role": "tool", "content": "3"}])


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("think_summary", f" <think> 1 + 1 </think> It is 2.{END}", ("1 + 1", "It is 2.")),
        ("think_summary", f" Hello!{END}", (None, "Hello!")),
        ("think_summary", " <think> 1 + ", ("1 +", None)),
        ("r1_zero", f" <think> 1 + 1 </think> <answer> 2 </answer>{END}", ("1 + 1", "<answer> 2 </answer>")),
        ("r1_zero_prefilled", f" 1 + 1 </think> <answer> 2 </answer>{END}", ("1 + 1", "<answer> 2 </answer>")),
        ("boxed", f" So \\boxed{{2}}{END}", (None, "So \\boxed{2}")),
    ],
)
def test_transformers_tells_a_reply_apart(name: str, reply: str, expected: tuple[str | None, str | None]) -> None:
    chat = chat_format(name, END)
    question = "Is <think> a tag? Assistant: <think> no"
    found = parse_response(reply, chat.response_template, prefix=render(chat, [user(question)]))
    texts = tuple(text.strip() if (text := found.get(field)) else None for field in ("reasoning_content", "content"))
    assert texts == expected


def test_transformers_tells_a_reply_without_thinking_apart() -> None:
    chat = chat_format("think_summary", END)
    prompt = render(chat, [user("q")], enable_thinking=False)
    found = parse_response(f" It is 2.{END}", chat.response_template, prefix=prompt)
    assert found["content"].strip() == "It is 2."
    assert not (found.get("reasoning_content") or "").strip()


@pytest.mark.parametrize("name", THINKING)
def test_old_and_new_ollama_find_the_tags(name: str) -> None:
    chat = chat_format(name, END)
    assert chat.go_template is not None
    assert "<think>" in chat.jinja
    assert "</think>" in chat.jinja
    inside = re.search(
        r"\{\{ range \$i, \$_ := \.Messages \}\}(.*)\{\{ end \}\} Assistant:", chat.go_template, re.DOTALL
    )
    assert inside
    assert "<think> {{ .Thinking }} </think>" in inside[1]
    # Blanks count: a dash in an action would eat those beside it.
    assert "{{-" not in chat.go_template
    assert "-}}" not in chat.go_template
    assert chat.go_template.startswith(TEMPLATES[name].preamble)
