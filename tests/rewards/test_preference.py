"""Rewards of prompts that no rule judges: the verdict of a reward model, the form, the language."""

from collections.abc import Sequence
from dataclasses import replace

from tests.rewards.test_score import PROMPT, rollout
from thinkwright.config.rewards import RewardWeights
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.preference import Response, score_by_preference
from thinkwright.training.general import general_metrics

ASKED = replace(PROMPT, template="think_summary", question="Hi, I am Tom.", prompt_id="greeting-1")


def longest_wins(responses: Sequence[Response]) -> list[float]:
    return [min(1.0, len(answer) / 10) for _, _, answer in responses]


def test_a_bare_answer_is_well_formed_and_the_verdict_is_added(pool: WorkerPool) -> None:
    texts = ["Hello Tom.", "<think>a man</think> Hello Tom.", "<think>a man", "</think> Hello Tom.", ""]
    group = ASKED, (1,), [rollout(text) for text in texts]
    [scored] = score_by_preference([group], "helpful", longest_wins, 2.0, RewardWeights(), pool)
    assert [m.scores for m in scored.members] == [
        {"helpful": 1.0, "format": 1.0},
        {"helpful": 1.0, "format": 1.0},
        {"helpful": 0.0, "format": 0.0},
        {"helpful": 1.0, "format": 0.0},
        {"helpful": 0.0, "format": 0.0},
    ]
    assert [m.reward for m in scored.members] == [3.0, 3.0, 0.0, 2.0, 0.0]


def test_the_language_of_the_thought_counts_and_nothing_is_mixed_without_one(pool: WorkerPool) -> None:
    texts = ["Hello Tom.", "<think>a man</think> Hello Tom.", "<think>他是人</think> Hello Tom."]
    group = ASKED, (1,), [rollout(text) for text in texts]
    [scored] = score_by_preference([group], "helpful", longest_wins, 1.0, RewardWeights(language=1), pool)
    assert [m.scores["language"] for m in scored.members] == [1.0, 1.0, 0.0]
    assert [m.reward for m in scored.members] == [3.0, 3.0, 2.0]


def test_the_language_may_be_another_than_the_questions(pool: WorkerPool) -> None:
    texts = ["<think>a man</think> Hello Tom.", "<think>他是人</think> Hello Tom."]
    group = ASKED, (1,), [rollout(text) for text in texts]
    rewards = RewardWeights(language=1, language_target="zh")
    [scored] = score_by_preference([group], "helpful", longest_wins, 1.0, rewards, pool)
    assert [m.scores["language"] for m in scored.members] == [0.0, 1.0]


def test_what_the_judge_cannot_read_whole_is_worth_nothing_and_told(pool: WorkerPool) -> None:
    group = ASKED, (1,), [rollout("Hello."), rollout("<think>a man</think> Hello.")]
    [scored] = score_by_preference([group], "helpful", lambda _: [None, 1.0], 1.0, RewardWeights(language=1), pool)
    assert scored.members[0].scores == {"helpful": 0.0, "format": 0.0, "language": 0.0, "over_context": 1.0}
    assert [member.reward for member in scored.members] == [0.0, 3.0]
    assert general_metrics({"helpful": [scored]})["general/over_context"] == 0.5


def test_a_cut_completion_is_worth_nothing_and_is_shown_to_no_judge(pool: WorkerPool) -> None:
    shown: list[Response] = []

    def judge(responses: Sequence[Response]) -> list[float]:
        shown.extend(responses)
        return [1.0 for _ in responses]

    group = ASKED, (1,), [rollout("Hello Tom.", "length"), rollout("<think>a man</think> Hello.")]
    [scored] = score_by_preference([group], "harmless", judge, 1.0, RewardWeights(language=1), pool)
    assert shown == [("Hi, I am Tom.", "a man", "Hello.")]
    assert [member.reward for member in scored.members] == [0.0, 3.0]
