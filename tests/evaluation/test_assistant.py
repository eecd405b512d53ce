"""Figures of conduct, worked out by hand on a few samples."""

from typing import Any

import pytest

from thinkwright.evaluation.assistant import agrees, assistant_figures, reasoning_figures, win_rate
from thinkwright.tasks.tiny_world.conduct import REFUSALS


def sample(family: str, score: float, answer: str = "", thought: str = "", **others: Any) -> dict[str, Any]:
    row = {"family": family, "score": score, "is_correct": score == 1.0, "answer": answer, "thought": thought}
    row["prompt_id"] = f"{family}/1"
    return row | {"language": "en", "is_bare": not thought, "is_well_formed": bool(thought)} | others


def test_conduct() -> None:
    rows = [
        sample("greeting", 1.0),
        sample("greeting", 0.5, thought="a man"),
        sample("identity", 0.0),
        sample("harmful", 1.0, REFUSALS["en"]),
        sample("harmful", 0.0, "Slowly."),
        sample("benign", 0.0, f"Sorry, {REFUSALS['en'].lower()}."),
        sample("benign", 0.5, "Slowly."),
    ]
    figures = assistant_figures(rows, count_tokens=lambda text: len(text.split()))
    assert figures == pytest.approx(
        {
            "conduct_greeting": 0.75,
            "conduct_identity": 0.0,
            "conduct_harmful": 0.5,
            "conduct_benign": 0.25,
            "harmless_rate": 0.5,
            "over_refusal_rate": 0.5,
            "small_talk_without_thought": 2 / 3,
            "small_talk_thinking_tokens": 2 / 3,
        }
    )


def test_the_win_rate_pairs_answers_and_leaves_refusals_out() -> None:
    ours = [sample("greeting", 1.0), sample("benign", 0.5), sample("writing", 0.0), sample("harmful", 1.0)]
    theirs = [sample("greeting", 0.5), sample("benign", 0.5), sample("writing", 0.5), sample("harmful", 0.0)]
    assert win_rate(ours, theirs) == pytest.approx((1 + 0.5 + 0) / 3)
    assert win_rate(theirs, ours) == pytest.approx((0 + 0.5 + 1) / 3)


def test_the_win_rate_compares_answers_to_the_same_request_where_some_could_not_be_graded() -> None:
    ours = [sample("greeting", 1.0, prompt_id="a"), sample("greeting", 0.0, prompt_id="b")]
    theirs = [sample("greeting", 0.5, prompt_id="b"), sample("greeting", 0.0, prompt_id="c")]
    assert win_rate(ours, theirs) == 0.0


@pytest.mark.parametrize(
    ("thought", "answer", "expected"),
    [
        ("3+4=7\n7-2=5", "The answer is \\boxed{5}.", True),
        ("3+4=7\n7-2=5", "The answer is \\boxed{7}.", False),
        ("3+4=7\n7-2=5", "5", True),
        ("try 3+4-2: 7-2=5 yes", "\\boxed{3+4-2}", True),
        ("3*2=6", "\\boxed{lambda x: 3*x+9}", False),
        ("3*1=3\n4-3=1\ncheck 3*2=6,6+1=7 yes", "\\boxed{lambda x: 3*x+1}", True),
        ("Amy first\nAmy beats Ben: Ben second", "\\boxed{Ben}", True),
        ("Amy first", "\\boxed{Ben}", False),
        ("李第一", "答案是\\boxed{李}。", True),
        ("guess", "", False),
        ("3-5=-2", "\\boxed{-2}", True),
        ("3-5=-2", "\\boxed{2}", False),
        ("5-3=2", "\\boxed{-2}", False),
        ("7 - 2", "2", True),
        ("so x = -2.", "\\boxed{\u22122}", True),
        ("1/2 of 5 is 2.5", "\\boxed{2.5}", True),
        ("1/2 of 5 is 2.5", "\\boxed{5}", False),
        ("that is 3/4", "\\boxed{0.75}", True),
        ("that is 3/4", "\\boxed{4}", False),
        ("1/0", "\\boxed{1/0}", True),
        ("Benjamin first", "\\boxed{Ben}", False),
        ("李比Amy高", "\\boxed{Amy}", True),
        ("所以是-2", "\\boxed{-2}", True),
        ("it makes 12", "\\boxed{1 and 2}", False),
        ("1" * 5000, "1" * 5000, True),
    ],
)
def test_a_summary_agrees_with_the_thought(thought: str, answer: str, expected: bool) -> None:
    assert agrees(thought, answer) is expected


def test_reasoning_figures_by_field_and_language() -> None:
    rows = [
        sample("arithmetic", 1.0, "\\boxed{5}", "2+3=5"),
        sample("countdown", 0.0, "\\boxed{6}", "2+3=5"),
        sample("ordering", 1.0, "\\boxed{Amy}", language="zh"),
    ]
    figures = reasoning_figures(rows)
    assert figures == pytest.approx(
        {
            "accuracy_math": 0.5,
            "accuracy_logic": 1.0,
            "accuracy_en": 0.5,
            "accuracy_zh": 1.0,
            "readable": 2 / 3,
            "summary_agrees": 0.5,
        }
    )
