"""Rows of preferences as others write them, in our form."""

from typing import Any

import pytest

from thinkwright.errors import DataError
from thinkwright.tasks.pair_forms import LeftOut, pair_of

START = "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: How are you?\n\nAssistant:"
TWO = {"instruction": "Add.", "input": "1, 2", "response1": "3", "response2": "4"}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


TALK = "Hi. Assistant: Hello. User: How are you?"


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (
            {"prompt": "Q?", "chosen": " a ", "rejected": "b"},
            {"question": "Q?", "chosen": "a", "rejected": "b"},
        ),
        (
            {"question": "Q?", "chosen": "a", "rejected": None, "chosen_thought": "t", "votes": [1]},
            {"question": "Q?", "chosen": "a", "chosen_thought": "t", "votes": [1]},
        ),
        (
            {"chosen": f"{START} Well.", "rejected": f"{START} Bad."},
            {"question": TALK, "chosen": "Well.", "rejected": "Bad."},
        ),
        (
            {"prompt": START, "chosen": "Well.", "rejected": "Bad."},
            {"question": TALK, "chosen": "Well.", "rejected": "Bad."},
        ),
        (
            {"prompt": [user("Q?")], "chosen": [assistant("a")], "rejected": [assistant("b")]},
            {"question": "Q?", "chosen": "a", "rejected": "b"},
        ),
        (
            {"prompt": "Q?", "chosen": [user("Q?"), assistant("a")], "rejected": [user("Q?"), assistant("b")]},
            {"question": "Q?", "chosen": "a", "rejected": "b"},
        ),
        (
            {
                "chosen": [{"role": "system", "content": "Be kind."}, user("Hi."), assistant("a")],
                "rejected": [{"role": "system", "content": "Be kind."}, user("Hi."), assistant("b")],
            },
            {"question": "Be kind.\n\nHi.", "chosen": "a", "rejected": "b"},
        ),
        (
            {"prompt": [user("Hi."), assistant("Hello."), user("How are you?")], "chosen": "Well.", "rejected": "Bad."},
            {"question": TALK, "chosen": "Well.", "rejected": "Bad."},
        ),
        (
            {"instruction": "Add.", "input": "1, 2", "chosen": "3", "rejected": "4"},
            {"question": "Add.\n\n1, 2", "chosen": "3", "rejected": "4"},
        ),
        (
            TWO | {"label": 2},
            {"question": "Add.\n\n1, 2", "rejected": "3", "chosen": "4", "first": "rejected"},
        ),
        (
            {"input": "Add.", "output_1": "3", "output_2": "4", "label": 1},
            {"question": "Add.", "chosen": "3", "rejected": "4", "first": "chosen"},
        ),
        (
            TWO | {"annotator1": 2, "annotator2": 0, "annotator3": 2},
            {"question": "Add.\n\n1, 2", "rejected": "3", "chosen": "4", "first": "rejected", "votes": [1, 0, 1]},
        ),
        (
            {"prompt": "Q?", "completion": "<think>hm</think>\n\na", "label": False},
            {"question": "Q?", "rejected": "a", "rejected_thought": "hm"},
        ),
        (
            {"prompt": "Q?", "chosen": "a", "rejected": "b", "language": "zh"},
            {"question": "Q?", "chosen": "a", "rejected": "b", "language": "zh"},
        ),
    ],
)
def test_forms(row: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert pair_of(row, "f:1") == wanted


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (TWO | {"label": 0}, "a tie"),
        (TWO | {"annotator1": 1, "annotator2": 2}, "a tie"),
        (TWO | {"response1": " ", "label": 1}, "empty"),
        (TWO | {"response1": True, "label": 1}, "not text"),
        (TWO | {"response2": "3 ", "label": 1}, "the same on both sides"),
        ({"prompt": "Q?", "chosen": "<think>a", "rejected": "b"}, "tags inside"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "<answer>b</answer>"}, "tags inside"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "<think>t</think><answer>b</answer>"}, "tags inside"),
        ({"prompt": "Q\ud800", "chosen": "a", "rejected": "b"}, "half characters"),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "no question"),
        ({"prompt": "Q?", "chosen": None, "rejected": None}, "no response"),
        ({"chosen": f"{START} a", "rejected": f"\n\nHuman: Hi.{START} b"}, "different questions"),
        ({"chosen": f"{START} a", "rejected": "\n\nHuman: Hi."}, "no answer at the end"),
        ({"chosen": f"{START}", "rejected": f"{START} b"}, "empty"),
        ({"chosen": f"\n\nHuman: Hi.{START} a", "rejected": f"\n\nHuman: Hi.{START} b"}, "do not alternate"),
        ({"prompt": [{"role": "tool", "content": "x"}], "chosen": "a", "rejected": "b"}, "roles other than"),
        ({"prompt": [{"text": "x"}], "chosen": "a", "rejected": "b"}, "messages without role"),
        ({"prompt": [user(["x"])], "chosen": "a", "rejected": "b"}, "not text"),  # type: ignore[arg-type]
        ({"prompt": [], "chosen": "a", "rejected": "b"}, "not text"),
        ({"chosen": [], "rejected": []}, "no answer at the end"),
        ({"prompt": "Q?", "chosen": [user("Q?"), assistant("a")], "rejected": "b"}, "not text"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "b", "first": "A"}, "first is 'A'"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "b", "votes": "2 of 3"}, "votes is no list of numbers"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "b", "votes": [10**400]}, "votes is no list of numbers"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "b", "language": 1}, "language is not text"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "b", "chosen_thought": "x</think>"}, "chosen_thought holds </th"),
    ],
)
def test_rows_without_a_preference_say_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(LeftOut, match=reason):
        pair_of(row, "f:1")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x"}, r"f:1: no known form of preferences, only 'text'; write question, chosen and rejected"),
        ({}, "f:1: no known form of preferences, only nothing"),
        ({"prompt": "Q?", "completion": "a", "label": 1}, "f:1: no known form"),
        (TWO, "f:1: no label that says which response is better"),
        (TWO | {"label": 3}, "f:1: label is 3; write 1 or 2"),
        (TWO | {"label": True}, "f:1: label is True; write 1 or 2"),
        (TWO | {"annotator1": "x"}, "f:1: annotator1 is 'x'; write 1 or 2"),
    ],
)
def test_rows_of_no_known_form_are_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        pair_of(row, "f:1")
