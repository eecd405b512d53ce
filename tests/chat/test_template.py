"""The templates word for word, and replies told apart strictly."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.chat.template import TAGS, TEMPLATES, r1_zero_prompt, split_reply

PUBLISHED = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., "
    "<think> reasoning process here </think> <answer> answer here </answer>. User: What is 2+2? Assistant:"
)


def test_prompt_is_the_published_template_word_for_word() -> None:
    assert r1_zero_prompt("What is 2+2?") == PUBLISHED


def test_a_well_formed_reply_is_told_apart() -> None:
    reply = split_reply(" <think> 2+2=4 </think>\n<answer> 4 </answer>\n")
    assert (reply.thought, reply.answer, reply.is_well_formed) == ("2+2=4", "4", True)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("4", None),
        ("<think></think> <answer>4</answer>", "4"),
        ("<think> \n </think> <answer>4</answer>", "4"),
        ("<answer>4</answer>", None),
        ("<answer>4</answer> <think>so</think>", None),
        ("<think>so <answer>4</answer>", None),
        ("<think>so</think> <answer>4", None),
        ("<think>so</think> 4", None),
        ("<think>so</think> <answer>4</answer> and more", "4"),
        ("well <think>so</think> <answer>4</answer>", "4"),
        ("<think>a</think> <think>b</think> <answer>4</answer>", "4"),
        ("<think>a</think> <answer>4</answer> <answer>5</answer>", None),
        ("<think>say <answer>9</answer></think> <answer>4</answer>", "4"),
    ],
)
def test_whatever_is_not_one_ordered_pair_of_each_is_not_well_formed(completion: str, answer: str | None) -> None:
    reply = split_reply(completion)
    assert not reply.is_well_formed
    assert reply.answer == answer


THOUGHTS = (
    st.text(alphabet=st.sampled_from("ab7 \n{}\\<>é数."), min_size=1)
    .map(str.strip)
    .filter(lambda text: any(character in "ab7é数" for character in text))
)
ANSWERS = (
    st.text(alphabet=st.sampled_from("ab7 \n{}\\<>()数."), min_size=1)
    .map(str.strip)
    .filter(lambda text: any(character in "ab7数" for character in text))
)
FRAGMENTS = st.lists(
    st.sampled_from([*TAGS, "\\boxed{", "{", "}", "\\", " ", "\n", "so", "7", "\u200b", "<THINK>", "</", "数", "***"])
).map("".join)
TAGGED = ["r1_zero", "r1_zero_prefilled", "think_summary", "think_summary_prefilled"]


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None)
@given(thought=THOUGHTS, answer=ANSWERS)
def test_what_a_perfect_model_writes_is_told_apart_again(name: str, thought: str, answer: str) -> None:
    template = TEMPLATES[name]
    reply = template.split(template.write(thought, answer))
    assert reply.is_well_formed
    if name == "boxed":
        assert reply.thought == thought
        assert reply.answer == template.write(thought, answer).strip()
    else:
        assert (reply.thought, reply.answer) == (thought, answer)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None, max_examples=300)
@given(completion=FRAGMENTS)
def test_any_text_is_told_apart_and_what_is_well_formed_has_a_thought_and_an_answer(name: str, completion: str) -> None:
    reply = TEMPLATES[name].split(completion)
    if reply.is_well_formed:
        assert any(map(str.isalnum, reply.thought))
        assert reply.answer is not None
        assert name == "boxed" or not any(tag in reply.thought for tag in TAGS[:2])
        assert name == "boxed" or "</think>" not in reply.answer
    if reply.answer and name in TAGGED:
        assert "</think>" in completion or (TEMPLATES[name].write_bare is not None and "<think>" not in completion)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None)
@given(answer=ANSWERS)
def test_an_answer_without_a_thought_is_told_apart_but_not_well_formed(name: str, answer: str) -> None:
    template = TEMPLATES[name]
    if template.write_bare is not None:
        reply = template.split(template.write_bare(answer))
        assert (reply.thought, reply.answer, reply.is_well_formed) == ("", answer.strip(), False)


@pytest.mark.parametrize(
    ("completion", "is_bare"),
    [("Hello.", True), ("<think>a</think> Hello.", False), ("</think> Hello.", False), ("...", False), ("", False)],
)
def test_what_counts_as_an_answer_without_a_thought(completion: str, is_bare: bool) -> None:
    assert TEMPLATES["think_summary"].split(completion).is_bare is is_bare
    assert not TEMPLATES["r1_zero"].split(completion).is_bare


def test_only_the_summary_of_r1_has_a_form_without_a_thought() -> None:
    assert [name for name, template in TEMPLATES.items() if template.write_bare is not None] == ["think_summary"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompt_holds_the_question_and_ends_with_the_prefill(name: str) -> None:
    template = TEMPLATES[name]
    assert template.name == name
    assert "What is 2+2?" in template.prompt("What is 2+2?")
    assert template.prompt("What is 2+2?").endswith(template.prefill)


def test_the_prefilled_prompt_is_the_published_one_inside_the_thought() -> None:
    assert TEMPLATES["r1_zero_prefilled"].prompt("What is 2+2?") == f"{PUBLISHED} <think>"


@pytest.mark.parametrize("thought", ["", " \n", "\u200b\u200d\ufeff", "\u3164", "...", "_ _", "\u2800"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_thought_without_a_letter_or_digit_is_hollow(name: str, thought: str) -> None:
    template = TEMPLATES[name]
    assert not template.split(template.write(thought, "4")).is_well_formed


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (" <think> a </think> <answer>4</answer>", "4"),
        ("<think>a</think></think> <answer>4</answer>", "4"),
        ("a <think> b </think> <answer>4</answer>", "4"),
        (" </think> <answer>4</answer>", "4"),
        ("<answer>4</answer> </think> <answer>4</answer>", "4"),
        (" a <answer>4</answer>", None),
        (" a </think> 4", None),
        (" a </think> so <answer>4</answer>", "4"),
        (" a </think> <answer>4</answer> <answer>5</answer>", None),
        (" a", None),
    ],
)
def test_a_prefilled_thought_is_opened_once_and_closed_once(completion: str, answer: str | None) -> None:
    reply = TEMPLATES["r1_zero_prefilled"].split(completion)
    assert (reply.answer, reply.is_well_formed) == (answer, False)


def test_a_completion_that_starts_inside_the_thought_earns_its_format() -> None:
    reply = TEMPLATES["r1_zero_prefilled"].split(" 2+2=4 </think>\n<answer> 4 </answer>")
    assert (reply.thought, reply.answer, reply.is_well_formed) == ("2+2=4", "4", True)


@pytest.mark.parametrize(
    ("completion", "answer", "is_well_formed"),
    [
        ("<think>a</think> It is 4.", "It is 4.", True),
        ("\n<think>\na\n</think>\n\nIt is **4**.\n", "It is **4**.", True),
        ("a</think> It is 4.", "It is 4.", False),
        ("Well. <think>a</think> It is 4.", "It is 4.", False),
        ("<think>a</think>", None, False),
        ("<think>a</think> \n", None, False),
        ("<think>a</think> \u200b", "\u200b", False),
        ("<think>a It is 4.", None, False),
        ("It is 4.", "It is 4.", False),
        (" ", None, False),
        ("<think></think> It is 4.", "It is 4.", False),
        ("<think>a</think> It is 4. <think>b</think> It is 5.", None, False),
        ("<think>a</think> It is 4. </think>", None, False),
        ("<think>a</think> the <think> tag", None, False),
        ("<think>a <think>b</think> It is 4.", "It is 4.", False),
    ],
)
def test_a_summary_follows_one_thought(completion: str, answer: str | None, is_well_formed: bool) -> None:
    reply = TEMPLATES["think_summary"].split(completion)
    assert (reply.answer, reply.is_well_formed) == (answer, is_well_formed)


@pytest.mark.parametrize(
    ("completion", "is_well_formed"),
    [
        ("It is \\boxed{4}.", True),
        ("First \\boxed{3}, no: \\boxed{\\frac{1}{2}}", True),
        ("So \\boxed{\\{1, 2\\}}", True),
        ("So \\boxed {4}", True),
        ("So \\boxed{\\boxed{4}}", True),
        ("An open { and \\boxed{4}", True),
        ("\\boxed{4}", False),
        ("... \\boxed{4}", False),
        ("It is \\boxed{}", False),
        ("It is \\boxed{ }", False),
        ("It is \\boxed{4", False),
        ("It is \\boxed{4\\}", False),
        ("It is \\boxed{{4}", False),
        ("It is \\boxed4", False),
        ("It is boxed{4}", False),
        ("It is 4", False),
    ],
)
def test_a_box_is_closed_filled_and_after_a_thought(completion: str, is_well_formed: bool) -> None:
    reply = TEMPLATES["boxed"].split(completion)
    assert (reply.answer, reply.is_well_formed) == (completion, is_well_formed)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("piece", [*TAGS, "</think><answer>", "\\boxed{", "{", "}", "\\", " ", "<", "\\boxed", "\\\\"])
def test_a_megabyte_of_anything_is_told_apart_in_a_moment(name: str, piece: str) -> None:
    before = time.process_time()
    TEMPLATES[name].split(piece * (1_000_000 // len(piece)))
    assert time.process_time() - before < 5
