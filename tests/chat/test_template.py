"""The template word for word, and replies told apart strictly."""

import pytest

from thinkwright.chat.template import r1_zero_prompt, split_reply

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
