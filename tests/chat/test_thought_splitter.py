"""Thought and answer are told apart wherever the pieces of a text are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkwright.chat.thought_splitter import StopFinder, ThoughtSplitter

ANSWER_TAGS = ("<answer>", "</answer>")


def split(pieces: list[str], **settings: object) -> tuple[str, str]:
    splitter = ThoughtSplitter(**({"opens_thought": False} | settings))  # type: ignore[arg-type]
    said = [part for piece in pieces for part in splitter.feed(piece)] + splitter.finish()
    return tuple("".join(text for kind, text in said if kind == wanted) for wanted in ("thought", "answer"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "settings", "thought", "answer"),
    [
        (" <think> 2+2=4 </think> 4", {}, "2+2=4", "4"),
        ("2+2=4\n</think>\n\n4 \n", {"opens_thought": True}, "2+2=4", "4"),
        ("hello  there ", {}, "", "hello  there"),
        ("<think>cut he", {}, "cut he", ""),
        ("cut he", {"opens_thought": True}, "cut he", ""),
        ("<think>a</think><answer> 4 </answer>", {"answer_tags": ANSWER_TAGS}, "a", "4"),
        ("<think>a</think>it has <think> in it", {}, "a", "it has <think> in it"),
        ("<think>a</think>b</think>c", {}, "a", "bc"),
        ("Sure. <think>a</think> b", {}, "", "Sure. <think>a</think> b"),
        ("write <think> first", {}, "", "write <think> first"),
        ("<answer> <think>a</think> 4</answer>", {"answer_tags": ANSWER_TAGS}, "a", "4"),
        ("The result:\n<answer>42</answer> .", {"answer_tags": ANSWER_TAGS}, "", "The result:\n42 ."),
        ("<think>a</think> so <answer></answer> ", {"answer_tags": ANSWER_TAGS}, "a", "so"),
        ("so \n<answer> <answer>4", {"answer_tags": ANSWER_TAGS}, "", "so \n 4"),
        ("no <think>tags</think> here", {"has_thought": False}, "", "no <think>tags</think> here"),
        ("a < b and </thin air", {}, "", "a < b and </thin air"),
        ("<think></think>4", {}, "", "4"),
    ],
)  # fmt: skip
def test_every_cut_of_a_text_tells_the_same(text: str, settings: dict[str, object], thought: str, answer: str) -> None:
    expected = thought, answer
    assert split([text], **settings) == expected
    assert split(list(text), **settings) == expected
    for place in range(len(text)):
        assert split([text[:place], text[place:]], **settings) == expected


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", " ", "\n", "x", "<answer>"])))
def test_pieces_say_what_the_whole_says(pieces: list[str]) -> None:
    for settings in ({}, {"opens_thought": True}, {"answer_tags": ANSWER_TAGS}):
        assert split(pieces, **settings) == split(["".join(pieces)], **settings)


def test_text_that_is_certain_is_not_held_back() -> None:
    splitter = ThoughtSplitter(opens_thought=False)
    assert splitter.feed("<think>one") == [("thought", "one")]
    assert splitter.feed(" two </th") == [("thought", " two")]
    assert splitter.feed("is") == [("thought", " </this")]


@given(st.text("ab\n"), st.lists(st.text("ab\n", min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_stop_text_is_found_as_soon_as_it_is_whole(text: str, stops: list[str]) -> None:
    finder = StopFinder(stops)
    kept = "".join(map(finder.feed, text))
    kept += "" if finder.has_stopped else finder.finish()
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    assert finder.has_stopped == bool(ends)
    if ends:
        seen = text[: ends[0]]
        assert kept == seen[: min(len(seen) - len(stop) for stop in stops if seen.endswith(stop))]
    else:
        assert kept == text
