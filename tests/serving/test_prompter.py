"""A conversation is rendered as in training, earlier thoughts are gone, and it is known whether a thought has begun."""

from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer

from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import ModelError
from thinkwright.models.shipped import resolve_model_name
from thinkwright.serving.ask import Ask, BadRequest, Message, Sampling, Thinking
from thinkwright.serving.prompter import Prompter

TOKENIZER = AutoTokenizer.from_pretrained(resolve_model_name("tiny-base"))
# As DeepSeek-R1's: the thought is begun in the prompt, and there is no switch.
R1_LIKE = (
    "{% for m in messages %}{% if m.role == 'user' %}[Q]{{ m.content }}{% else %}[A]{{ m.content }}"
    "{% if m.reasoning_content %}(thought {{ m.reasoning_content }}){% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[A]<think>\n{% endif %}"
)


def ask(*messages: Message, is_on: bool = True) -> Ask:
    return Ask(Sampling(), messages, thinking=Thinking(is_on=is_on))


def own(jinja: str) -> Prompter:
    tokenizer = AutoTokenizer.from_pretrained(resolve_model_name("tiny-base"))
    tokenizer.chat_template = jinja
    return Prompter(tokenizer, None)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_question_is_put_as_in_training(name: str) -> None:
    rendered = Prompter(TOKENIZER, name).render(ask(Message("user", "What is 2 + 3?")))
    assert rendered.text == TEMPLATES[name].prompt("What is 2 + 3?")
    assert rendered.token_ids == tuple(TOKENIZER.encode(rendered.text, add_special_tokens=False))
    assert rendered.opens_thought == name.endswith("_prefilled")
    assert rendered.has_thought == (name != "boxed")


def test_thoughts_before_the_last_question_are_dropped_wherever_they_stand() -> None:
    conversation = (
        Message("user", "one"),
        Message("assistant", "<think>secret one</think> first", thought="secret two"),
        Message("user", "two"),
    )
    for prompter in (Prompter(TOKENIZER, "think_summary"), own(R1_LIKE)):
        text = prompter.render(ask(*conversation)).text
        assert "secret" not in text
        assert "first" in text


def test_a_thought_after_the_last_question_is_kept() -> None:
    text = own(R1_LIKE).render(ask(Message("user", "one"), Message("assistant", "so", thought="mine"))).text
    assert "(thought mine)" in text


def test_thinking_off_closes_the_thought_before_a_word_of_it() -> None:
    question = Message("user", "hi")
    for name in ("think_summary", "think_summary_prefilled", "r1_zero"):
        rendered = Prompter(TOKENIZER, name).render(ask(question, is_on=False))
        assert rendered.text.endswith("<think> </think>")
        assert not rendered.opens_thought
        assert not rendered.has_thought
    rendered = own(R1_LIKE).render(ask(question, is_on=False))
    assert rendered.text == "[Q]hi[A]<think>\n\n</think>\n\n"
    assert not rendered.opens_thought
    assert own(R1_LIKE).render(ask(question)).opens_thought
    silent = own(R1_LIKE.replace("<think>\n", "") + "{# </think> #}").render(ask(question, is_on=False))
    assert silent.text == "[Q]hi[A]<think>\n\n</think>\n\n"


def test_a_text_is_taken_as_it_is() -> None:
    prompter = Prompter(TOKENIZER, "r1_zero")
    assert prompter.render(Ask(Sampling(), prompt="a b")).token_ids == prompter.encode("a b")
    assert prompter.render(Ask(Sampling(), prompt=(5, 6))).token_ids == (5, 6)


def test_what_a_template_refuses_is_the_clients_mistake() -> None:
    refusing = own("{{ raise_exception('only user messages') }}")
    with pytest.raises(BadRequest, match="only user messages"):
        refusing.render(ask(Message("user", "q")))
    with pytest.raises(ModelError, match="--template"):
        Prompter(SimpleNamespace(chat_template=None), None)


def test_what_cannot_fit_is_refused_before_it_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    prompter = Prompter(TOKENIZER, "r1_zero")
    longest = max(TOKENIZER.get_vocab(), key=len)
    monkeypatch.setattr(prompter, "encode", lambda text: (0,))
    assert prompter.render(Ask(Sampling(), prompt="a" * len(longest) * 10), 10).token_ids == (0,)
    monkeypatch.setattr(prompter, "encode", lambda text: pytest.fail("was encoded"))
    for one in (Ask(Sampling(), prompt="a" * (len(longest) * 10 + 1)), ask(Message("user", "a" * len(longest) * 10))):
        with pytest.raises(BadRequest, match="takes 10 tokens") as found:
            prompter.render(one, 10)
        assert found.value.code == "context_length_exceeded"
