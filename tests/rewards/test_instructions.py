"""IFEval's constraints: an example each that follows, and one that nearly does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rewards.verifiers.ifeval_constraints import CONSTRAINTS, count_sentences
from thinkwright.rewards.verifiers.ifeval_reference import satisfying_answer
from thinkwright.rewards.verifiers.instructions import VERIFIER

ENGLISH = "this is a letter to my old friend about the weather and the garden"
HINDI_FILLING = "यह वही लेख है जो आपने माँगा था और हमें आशा है कि यह आपके काम में बहुत उपयोगी होगा"
HINDI = "यह एक पत्र है जो मैंने अपने पुराने मित्र को मौसम और बगीचे के बारे में लिखा है"


def gold_of(*constraints: tuple[str, dict[str, Any]], credit: str = "all") -> str:
    names, kwargs = [name for name, _ in constraints], [arguments for _, arguments in constraints]
    return json.dumps({"instruction_id_list": names, "kwargs": kwargs, "credit": credit})


# id, arguments, a text that follows, a text that does not
EXAMPLES: list[tuple[str, dict[str, Any], str, str]] = [
    ("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 2}, "I say NO",
     "I say no"),
    ("change_case:capital_word_frequency", {"capital_relation": "less than", "capital_frequency": 2},
     "I say no", "I say NO"),
    ("change_case:english_capital", {}, ENGLISH.upper(), ENGLISH.upper() + " x"),
    ("change_case:english_capital", {}, f'"{ENGLISH.upper()}"',
     "DAS IST EIN BRIEF AN MEINEN ALTEN FREUND ÜBER DAS WETTER"),
    ("change_case:english_lowercase", {}, ENGLISH, ENGLISH + " I"),
    ("change_case:english_lowercase", {}, ENGLISH + "!", HINDI + " a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "say hi. Hi!", "Well: Say hi. Hi!"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "Say hi.\n\nHi!", "Say hi. ..."),
    ("combination:two_responses", {}, "Yes.\n******\nNo.", "Yes.\n******\nYes."),
    ("combination:two_responses", {}, "******Yes.******No.******", "Yes.******No.******Maybe."),
    ("combination:two_responses", {}, "a****** b", "a******"),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] in [city]", "[name] in [ ]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. Call me", "Bye.\nP.S. ..."),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. Call me", "Bye. PS Call me"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S Call me", "P.S. Call me"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "My answer is yes"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "my answer is maybe."),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', '{"a": 1} Done.'),
    ("detectable_format:json_format", {}, '["a"]', "{}"),
    ("detectable_format:json_format", {}, '{"a": {"b": null}}', "5"),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2},
     "SECTION 1\na\nSECTION 2\nb", "SECTION 1\na\nSECTION 2\n"),
    ("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": 1}, "Day 1 rest",
     "day 1 rest"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "So:\n* a\n- b", "So:\n* a\n- b\n* c"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "  * a\n\n  * b\n---", "* a\n* "),
    ("detectable_format:number_bullet_lists", {"num_bullets": 0}, "a", "* a"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* a\n**b**", "**a**"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b c**", "*a* and **"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "a *b*", "a *b\nc*"),
    ("detectable_format:title", {}, "<<My day>>\nIt was good.", "<My day>\nIt was good."),
    ("detectable_format:title", {}, "<<a>>", "<< >>"),
    ("keywords:existence", {"keywords": ["rain", "sun"]}, "Sunny, then raining", "Sunny, then wet"),
    ("keywords:forbidden_words", {"forbidden_words": ["rain"]}, "raining", "No RAIN!"),
    ("keywords:frequency", {"keyword": "rain", "relation": "at least", "frequency": 2}, "rain, Rain", "rain"),
    ("keywords:frequency", {"keyword": "rain", "relation": "less than", "frequency": 2}, "rain", "rain, Rain"),
    ("keywords:frequency", {"keyword": "a.c", "relation": "at least", "frequency": 1}, "a.c", "abc"),
    ("keywords:letter_frequency", {"letter": "q", "let_relation": "at least", "let_frequency": 2}, "Quiq", "quit"),
    ("keywords:letter_frequency", {"letter": "q", "let_relation": "less than", "let_frequency": 1}, "kit", "Quit"),
    ("keywords:letter_frequency", {"letter": "#", "let_relation": "at least", "let_frequency": 2}, "#a #b", "#a"),
    ("language:response_language", {"language": "hi"}, HINDI, ENGLISH),
    ("language:response_language", {"language": "hi"}, f'"{HINDI}"', f'"{ENGLISH}"'),
    ("language:response_language", {"language": "de"}, "Das ist ein Brief an meinen Freund über das Wetter.",
     "12 !?"),
    ("language:response_language", {"language": "de"}, "Ok.", HINDI),
    ("length_constraints:nth_paragraph_first_word", {"first_word": "sun", "num_paragraphs": 2, "nth_paragraph": 2},
     "Rain.\n\nSun, at last.", "Rain.\n\nSunny at last."),
    ("length_constraints:nth_paragraph_first_word", {"first_word": "sun", "num_paragraphs": 2, "nth_paragraph": 1},
     '"Sun".\n\nRain.', "Sun.\n\nRain.\n\nSnow."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\na\n***\nb\n***", "a\n***\n\n***\nb"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a *** b", "a *** ..."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "Yes. No", "Mr. No"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "It is 3.5 e.g.",
     "Yes. No!"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "好。不好。", "好。。。"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "a b-c", "a b"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "a b", "a b-c"),
    ("punctuation:no_comma", {}, "a; b", "a, b"),
    ("startend:end_checker", {"end_phrase": "Any more?"}, 'So. "any more?"\n', "Any more? No."),
    ("startend:quotation", {}, ' "So it is." ', '"So" it is.'),
    ("startend:quotation", {}, '"a"', '""'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), EXAMPLES)
def test_a_constraint_is_followed_or_not(name: str, arguments: dict[str, Any], good: str, bad: str) -> None:
    gold = gold_of((name, arguments))
    assert VERIFIER.check_gold(gold) is None
    assert VERIFIER.grade(good, gold) == 1.0
    assert VERIFIER.grade(bad, gold) == 0.0


def test_every_instruction_of_ifeval_has_an_example() -> None:
    assert len(CONSTRAINTS) == 25
    assert {name for name, *_ in EXAMPLES} == set(CONSTRAINTS)


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), EXAMPLES)
def test_a_text_can_be_made_that_follows_and_one_that_does_not(
    name: str, arguments: dict[str, Any], good: str, bad: str
) -> None:
    gold = gold_of((name, arguments))
    made = satisfying_answer(gold)
    assert made is not None
    assert made == made.strip()
    assert VERIFIER.grade(made, gold) == 1.0
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


LANGUAGE, JSON_FORMAT = "language:response_language", ("detectable_format:json_format", {})
LONG_HINDI = f"{HINDI_FILLING} " * 4 + " ".join(HINDI_FILLING.split()[:10])
# constraints, and the text that follows them
REFERENCES: list[tuple[list[tuple[str, dict[str, Any]]], str]] = [
    ([(LANGUAGE, {"language": "hi"})], LONG_HINDI),
    ([(LANGUAGE, {"language": "hi"}), JSON_FORMAT], f'{{"text": "{LONG_HINDI}"}}'),
    ([("keywords:forbidden_words", {"forbidden_words": ["This", "you"]})],
     "is what asked for and we think that it will do good for all"),
    ([("keywords:letter_frequency", {"letter": "T", "let_relation": "less than", "let_frequency": 1})],
     "is you asked for and we will do good for all of you if"),
    ([("keywords:frequency", {"keyword": "what", "relation": "less than", "frequency": 1})],
     "this is you asked for and we think that it will do good for"),
    ([("keywords:frequency", {"keyword": "rain", "relation": "at least", "frequency": 3})],
     "rain rain rain this is what you asked for and we think that it"),
    ([("keywords:letter_frequency", {"letter": "q", "let_relation": "at least", "let_frequency": 3})],
     "qqq this is what you asked for and we think that it will do"),
    ([("change_case:english_capital", {}), ("keywords:existence", {"keywords": ["rain", "sun", "rain"]})],
     "RAIN SUN RAIN THIS IS WHAT YOU ASKED FOR AND WE THINK THAT IT"),
    ([("change_case:english_lowercase", {}), ("keywords:existence", {"keywords": ["Rain"]})],
     "rain this is what you asked for and we think that it will do"),
    ([("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 2}),
      ("length_constraints:number_words", {"relation": "at least", "num_words": 5})],
     "YES YES this is what you asked for and we think that it will"),
    ([("detectable_content:number_placeholders", {"num_placeholders": 2}), ("detectable_format:title", {}),
      ("detectable_format:number_highlighted_sections", {"num_highlights": 2})],
     "[this] [this] <<this>> *this* *this* this is what you asked for and we think"),
    ([("detectable_format:number_highlighted_sections", {"num_highlights": 1})],
     "this *this* this is what you asked for and we think that it will do"),
    ([("detectable_format:number_bullet_lists", {"num_bullets": 2}), ("startend:end_checker", {"end_phrase": "Bye?"}),
      ("detectable_content:postscript", {"postscript_marker": "P.S."})],
     "this is what you asked for and we think that it will do good\n- this\n- this\nP.S. this\nBye?"),
    ([("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2}),
      ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 3})],
     "this is. what you. asked for and we think that it will do good\nSECTION 1\nthis\nSECTION 2\nthis"),
    ([("length_constraints:number_paragraphs", {"num_paragraphs": 3}), ("startend:quotation", {})],
     '"you asked for and we think that it will do good\n***\nthis what\n***\nis"'),
    ([("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "sun"})],
     "you asked for and we think that it will do\n\nsun this what\n\nis"),
    ([("combination:two_responses", {}),
      ("length_constraints:number_words", {"relation": "less than", "num_words": 5})],
     "what you\n******\nthis is"),
    ([("length_constraints:number_words", {"relation": "at least", "num_words": 16})],
     "this is what you asked for and we think that it will do good for all"),
    ([("length_constraints:number_words", {"relation": "less than", "num_words": 3})], "this is"),
    ([("combination:repeat_prompt", {"prompt_to_repeat": "Say hi. "}),
      ("detectable_format:constrained_response", {})],
     "Say hi.\nMy answer is yes. this is what you asked for and we think that"),
]  # fmt: skip


@pytest.mark.parametrize(("constraints", "text"), REFERENCES)
def test_the_text_that_follows_is_short_and_has_what_is_asked_for(
    constraints: list[tuple[str, dict[str, Any]]], text: str
) -> None:
    assert satisfying_answer(gold_of(*constraints)) == text


@pytest.mark.parametrize("response", ["", " \n\t", "\u3000"])
def test_an_empty_response_follows_nothing_even_where_nothing_is_asked_for(response: str) -> None:
    assert VERIFIER.grade(response, gold_of(("punctuation:no_comma", {}))) == 0.0


def test_credit_is_for_all_constraints_or_shared() -> None:
    constraints = (("punctuation:no_comma", {}), ("startend:quotation", {}), ("detectable_format:title", {}))
    assert VERIFIER.grade('"<<a>>"', gold_of(*constraints)) == 1.0
    assert VERIFIER.grade('"a"', gold_of(*constraints)) == 0.0
    assert VERIFIER.grade('"a"', gold_of(*constraints, credit="share")) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "text",
    ["all instructions followed", "I have followed every instruction.", "[placeholder]" * 50, "P.S. " * 50, "***" * 9],
)
def test_claiming_and_copying_marks_earn_nothing_by_themselves(text: str) -> None:
    constraints = (
        ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
        ("length_constraints:number_words", {"relation": "at least", "num_words": 100}),
    )
    assert VERIFIER.grade(text, gold_of(*constraints)) == 0.0


@pytest.mark.parametrize(
    "gold",
    ["", "[]", "{}", '{"instruction_id_list": [], "kwargs": []}', gold_of(("no:such", {})),
     gold_of(("startend:end_checker", {})), gold_of(("length_constraints:number_words", {"relation": "at most",
     "num_words": 3})),
     gold_of(("length_constraints:number_words", {"relation": "at least", "num_words": "3"})),
     gold_of(("keywords:existence", {"keywords": "rain"})), gold_of(("punctuation:no_comma", {}), credit="half"),
     '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}',
     '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": [3]}'],
)  # fmt: skip
def test_a_gold_that_cannot_be_read_has_a_reason_and_no_right_answer(gold: str) -> None:
    assert VERIFIER.check_gold(gold)
    assert VERIFIER.grade("a", gold) == 0.0
    assert satisfying_answer(gold) is None
    assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0


@pytest.mark.parametrize(
    "limit",
    [
        ("punctuation:no_comma", {}),
        ("keywords:forbidden_words", {"forbidden_words": ["friend"]}),
        ("keywords:frequency", {"keyword": "friend", "relation": "less than", "frequency": 1}),
    ],
)
def test_a_prompt_to_repeat_that_breaks_a_limit_is_a_contradiction(limit: tuple[str, dict[str, Any]]) -> None:
    gold = gold_of(("combination:repeat_prompt", {"prompt_to_repeat": "Hello, friend."}), limit)
    assert "contradicts itself" in (VERIFIER.check_gold(gold) or "")
    assert satisfying_answer(gold) is None


def test_arguments_that_are_null_count_as_not_given() -> None:
    row = {"num_words": None, "relation": None, "end_phrase": "Bye."}
    assert VERIFIER.check_gold(gold_of(("startend:end_checker", row))) is None
    assert VERIFIER.check_gold(gold_of(("length_constraints:number_words", row)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One", 1),
        ("One. Two! Three?", 3),
        ("Dr. A. Smith paid $3.50, i.e. little. He left...", 2),
        ('He said "No." She left.', 2),
        ("Is it?! Yes.", 2),
        ("1. First\n2. Second.", 2),
        ("! ! ! . . .", 0),
        ("So do I. And you?", 2),
        ("नमस्ते। कैसे हैं?", 2),
    ],
)
def test_sentences_end_with_marks_and_not_with_abbreviations(text: str, count: int) -> None:
    assert count_sentences(text) == count


MARKS = st.sampled_from(["*", "**", "***", "******", "[", "]", "<<", ">>", '"', ",", ".", "P.S.", "SECTION 1",
     "- ", "\n", "\n\n",
                         " ", "word", "NO", "数", "{", "}", "```", "\u200b"])  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.lists(MARKS, max_size=20).map("".join), st.text(max_size=60)))
def test_any_text_gets_a_verdict(text: str) -> None:
    for name, arguments, *_ in EXAMPLES:
        if not name.startswith(("language", "change_case:english")):
            assert VERIFIER.grade(text, gold_of((name, arguments))) in (0.0, 1.0)


@pytest.mark.parametrize(
    "piece", ["*", "[", "<<", ".", "\n", " ", '"', "SECTION ", "p.", "-", "a", "1", "```", "'", "{", "\\", "$"]
)
def test_a_long_response_gets_its_verdict_soon(piece: str, cpu_seconds: Callable[[], float]) -> None:
    gold = gold_of(*((name, arguments) for name, arguments, *_ in EXAMPLES), credit="share")
    VERIFIER.grade(ENGLISH, gold)  # loads what tells languages apart
    before = cpu_seconds()
    assert VERIFIER.grade(piece * (190_000 // len(piece)), gold) < 1.0
    assert cpu_seconds() - before < 10
    assert VERIFIER.grade(piece * 1_000_000, gold) == 0.0


def test_real_golds_that_do_not_contradict_themselves_are_followed_by_their_reference(data_folder: Path) -> None:
    lines = (data_folder / "ifeval" / "input_data.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == 541
    contradicting: list[int] = []
    for row in map(json.loads, lines):
        gold = json.dumps({"instruction_id_list": row["instruction_id_list"], "kwargs": row["kwargs"]})
        if VERIFIER.check_gold(gold) is not None:
            contradicting.append(row["key"])
            continue
        reference = satisfying_answer(gold)
        assert reference is not None, row["key"]
        assert VERIFIER.grade(reference, gold) == 1.0
        assert VERIFIER.grade(VERIFIER.wrong_answer(gold), gold) == 0.0, row["key"]
    assert contradicting == [1627, 3369, 3371, 3718, 374]
