"""Figures by hand."""

from dataclasses import replace

import pytest

from thinkwright.evaluation.figures import figures_of, samples_of
from thinkwright.types import FinishReason, Prompt, Rollout, RolloutGroup, ScoredRollout


def rollout(num_tokens: int, text: str, finish_reason: FinishReason) -> Rollout:
    logprobs = (-1.0,) * num_tokens
    return Rollout((1,) * num_tokens, logprobs, logprobs, (False,) * num_tokens, text, finish_reason, 0)


def group(prompt_id: str, level: int, texts: list[str], correct: list[float]) -> RolloutGroup:
    prompt = Prompt(prompt_id, "What is 3+4?", "t", "number", "7", "7", "r1_zero", "arithmetic", level, "en")
    members = tuple(
        ScoredRollout(
            rollout(i + 1, text, "length" if i == 1 else "stop"),
            {"accuracy": value, "format": value},
            value,
        )
        for i, (text, value) in enumerate(zip(texts, correct, strict=True))
    )
    return RolloutGroup(prompt, (1,), members)


GOOD = "<think>3+4=7, wait, check: yes</think> <answer>7</answer>"
GROUPS = [group("a", 1, [GOOD, "<think>你好 three"], [1.0, 0.0]), group("b", 2, [GOOD, GOOD], [1.0, 1.0])]


def test_means_over_all_samples() -> None:
    figures = figures_of(samples_of(GROUPS))
    assert figures["accuracy"] == 0.75
    assert figures["format_rate"] == 0.75
    assert figures["accuracy_by_level"] == {"1": 0.5, "2": 1.0}
    assert figures["tokens_by_level"] == {"1": 1.5, "2": 1.5}
    assert figures["mean_response_tokens"] == 1.5
    assert figures["truncated_rate"] == 0.5
    assert figures["reflection_rate"] == 0.75
    assert figures["reflection_words"] == 1.5  # wait and check, in three of four
    assert figures["num_samples"] == 4


def test_standard_error_counts_questions_not_samples() -> None:
    same = [group(str(i), 1, [GOOD, GOOD], [float(i % 2)] * 2) for i in range(8)]
    # Eight questions whose mean has a variance of 1/4, however often each is sampled; one of them is spent on the mean.
    figures = figures_of(samples_of(same))
    assert figures["accuracy_standard_error"] == pytest.approx((0.25 / 7) ** 0.5)
    assert figures["accuracy_low"] < 0.5 < figures["accuracy_high"]


def test_every_question_counts_alike_however_many_of_its_samples_were_graded() -> None:
    groups = [group("a", 1, [GOOD] * 3, [1.0, 1.0, 1.0]), group("b", 1, [GOOD], [0.0])]
    assert figures_of(samples_of(groups))["accuracy"] == 0.5


def test_a_majority_votes_by_value_and_programs_have_none() -> None:
    texts = [f"<think>so</think> <answer>{answer}</answer>" for answer in ("7.0", "8", "7", "9", "8")]
    figures = figures_of(samples_of([group("a", 1, texts, [1.0, 0.0, 1.0, 0.0, 0.0])]))
    assert (figures["cons_at_5"], figures["cons_at_5_ties"]) == (0.5, 1.0)
    assert figures["g_pass_at_5_50"] == 0.0
    assert figures["no_answer_rate"] == 0.0
    programs = [replace(one, prompt=replace(one.prompt, verifier="functions")) for one in GROUPS]
    assert not [name for name in figures_of(samples_of(programs)) if name.startswith("cons_at_")]


def test_thought_and_answer_are_stored_apart() -> None:
    row = samples_of(GROUPS)[0]
    assert row["thought"] == "3+4=7, wait, check: yes"
    assert row["answer"] == "7"
    assert samples_of(GROUPS)[1]["answer"] is None
    assert samples_of(GROUPS)[1]["language_consistency"] == pytest.approx(1 / 3)


def test_pass_at_k_is_the_unbiased_estimate_from_all_samples() -> None:
    groups = [group("a", 1, [GOOD] * 5, [1.0, 0.0, 0.0, 0.0, 1.0]), group("b", 1, [GOOD] * 5, [0.0] * 5)]
    figures = figures_of(samples_of(groups))
    # Of 10 pairs of a's samples 3 hold no right one; of 5 fours none; b has no right one at all.
    assert figures["pass_at_2"] == pytest.approx((1 - 3 / 10) / 2)
    assert figures["pass_at_4"] == pytest.approx(0.5)
    assert figures["pass_at_5"] == pytest.approx(0.5)
    assert {name for name in figures if name.startswith("pass_at_") and name[-1].isdigit()} == {
        "pass_at_2",
        "pass_at_4",
        "pass_at_5",
    }
    assert figures["pass_at_2_low"] < figures["pass_at_2"] < figures["pass_at_2_high"]


def test_pass_at_k_leaves_out_questions_with_fewer_graded_samples() -> None:
    groups = [group("a", 1, [GOOD] * 2, [1.0, 0.0]), group("b", 1, [GOOD], [0.0])]
    assert figures_of(samples_of(groups))["pass_at_2"] == 1.0
    one_each = figures_of(samples_of([group("b", 1, [GOOD], [0.0])]))
    assert not [name for name in one_each if name.startswith("pass_at_")]
