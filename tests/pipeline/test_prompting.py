"""Prompts for a model that was not trained to think: worked examples, an instruction, an opening."""

from dataclasses import replace

import pytest

from thinkwright.chat.template import R1_ZERO_PREAMBLE, TEMPLATES
from thinkwright.config.prompting import INSTRUCTIONS, Direct, FewShot
from thinkwright.pipeline.prompting import Shown, ask, without_next_turn
from thinkwright.types import Prompt, Rollout

SHOWN = (
    Shown("a:1", "What is 1+1?", "One and one.", "2", "en"),
    Shown("a:2", "一加二是多少？", "一加二是三。", "3", "zh"),
    Shown("a:3", "What is 2+2?", "Two and two.", "4", "en"),
    Shown("a:4", "What is 3+2?", "Three and two.", "5", "en"),
)
FEW = FewShot(style="few_shot", examples=("a",), count=2)


def prompt(question: str, template: str = "r1_zero", language: str = "en") -> Prompt:
    text = TEMPLATES[template].prompt(question)
    return Prompt("q", question, text, "number", "4", "4", template, "f", 1, language)


def test_few_shot_text_is_the_template_with_whole_turns_before_the_question() -> None:
    asked = ask(prompt("What is 1+1?"), replace_count(2), SHOWN, seed=0)
    first, second = (next(e for e in SHOWN if e.place == place) for place in asked.lineage["examples"])
    expected = R1_ZERO_PREAMBLE + "".join(
        f" User: {e.question} Assistant: <think> {e.thought} </think> <answer> {e.answer} </answer>\n"
        for e in (first, second)
    )
    assert asked.prompt.text == f"{expected} User: What is 1+1? Assistant:"
    assert asked.prompt.question == "What is 1+1?"
    assert asked.forced_start == ""


def replace_count(count: int) -> FewShot:
    return FEW.model_copy(update={"count": count})


def test_examples_are_of_the_language_first_and_never_the_question_itself() -> None:
    for seed in range(20):
        places = ask(prompt("what is 2 + 2"), replace_count(1), SHOWN, seed).lineage["examples"]
        assert set(places) <= {"a:1", "a:3", "a:4"}
        assert set(ask(prompt("What is 2+2 ?"), replace_count(2), SHOWN, seed).lineage["examples"]) == {"a:1", "a:4"}
        chinese = ask(prompt("二加二是多少？", language="zh"), replace_count(2), SHOWN, seed).lineage["examples"]
        assert chinese[0] == "a:2"
    drawn = [ask(prompt("What is 9+9?"), replace_count(1), SHOWN, seed).lineage["examples"][0] for seed in range(20)]
    assert set(drawn) == {"a:1", "a:3", "a:4"}
    assert drawn == [ask(prompt("What is 9+9?"), replace_count(1), SHOWN, s).lineage["examples"][0] for s in range(20)]


@pytest.mark.parametrize(
    ("template", "forced"),
    [("r1_zero", "<think>Hm, "), ("r1_zero_prefilled", "Hm, "), ("think_summary", "<think>Hm, "), ("boxed", " Hm, ")],
)
def test_instruction_and_opening_stand_where_the_template_has_them(template: str, forced: str) -> None:
    direct = Direct(style="direct", opening={"en": "Hm, "})
    asked = ask(prompt("What is 2+2?", template), direct, [], seed=0)
    assert asked.prompt.text == TEMPLATES[template].prompt(f"{INSTRUCTIONS['en']}\nWhat is 2+2?")
    assert asked.prompt.question == "What is 2+2?"
    assert asked.forced_start == forced
    whole = TEMPLATES[template].write("Hm, two and two.", "4").replace("<think> ", "<think>")
    rest = whole.lstrip().removeprefix(forced.lstrip())
    assert TEMPLATES[template].split(asked.forced_start + rest).thought == "Hm, two and two."
    french = ask(prompt("Combien font 2+2 ?", template, "fr"), direct, [], seed=0)
    assert (french.prompt.text, french.forced_start) == (TEMPLATES[template].prompt("Combien font 2+2 ?"), "")
    assert french.lineage == {"style": "direct", "instruction": "", "opening": ""}


def test_a_completion_ends_where_it_goes_on_to_the_next_question() -> None:
    text = " <think> a </think> <answer> 4 </answer>"
    rollout = Rollout((1,), (0.0,), (0.0,), (False,), f"{text}\n User:", "stop", 0)
    assert without_next_turn(rollout, FEW).text == text
    assert without_next_turn(rollout, None) == rollout
    assert without_next_turn(replace(rollout, text=text), FEW).text == text
