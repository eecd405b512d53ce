"""Prompts for a model that was not trained to think: worked examples, an instruction, an opening."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from thinkwright.chat.template import R1_ZERO_PREAMBLE, TEMPLATES
from thinkwright.config.prompting import INSTRUCTIONS, Direct, FewShot
from thinkwright.errors import DataError
from thinkwright.pipeline.prompting import Shown, ask, read_examples, without_next_turn
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


def test_one_question_is_not_shown_twice() -> None:
    twice = (*SHOWN, Shown("a:5", "what is 1 + 1", "I add.", "2", "en"))
    for seed in range(20):
        places = ask(prompt("What is 2+2?"), replace_count(4), twice, seed).lineage["examples"]
        assert len(places) == len(set(places)) == 3
        assert not {"a:1", "a:5"} <= set(places)


def write(path: Path, questions: list[str]) -> FewShot:
    rows = ({"question": question, "thought": "I add.", "answer": "2"} for question in questions)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FewShot(style="few_shot", examples=(str(path),), count=1)


def test_there_must_be_an_example_more_than_is_shown(tmp_path: Path) -> None:
    assert len(read_examples(write(tmp_path / "two.jsonl", ["What is 1+1?", "What is 2+2?"]))) == 2
    with pytest.raises(
        DataError, match=r"same.jsonl: 1 different questions, and prompting.count = 1 .* give 2 or more"
    ):
        read_examples(write(tmp_path / "same.jsonl", ["What is 1+1?", "what is 1+1"]))
    with pytest.raises(DataError, match=r"half.jsonl:2: question holds half a character"):
        read_examples(write(tmp_path / "half.jsonl", ["What is 1+1?", "\ud800", "What is 2+2?"]))
