"""Rewards of whole groups."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from thinkwright.config.recipe import RewardWeights
from thinkwright.errors import GraderError
from thinkwright.rewards import program_runner, score
from thinkwright.rewards.score import score_groups
from thinkwright.types import FinishReason, Prompt, Rollout, ScoredRollout

PROMPT = Prompt(
    prompt_id="arithmetic-1",
    question="What is 3+4?",
    text="User: What is 3+4? Assistant:",
    verifier="number",
    gold="7",
    family="arithmetic",
    level=1,
    language="en",
)
PROGRAM = replace(PROMPT, prompt_id="programs-1", verifier="program", gold=json.dumps([[1, 2], [2, 4]]))
RIGHT = "<think>3+4=7</think> <answer>7</answer>"


def rollout(text: str, finish_reason: FinishReason = "stop") -> Rollout:
    return Rollout((1, 2), (-0.5, -0.5), (-0.5, -0.5), (False, False), text, finish_reason, policy_version=0)


def score_one(
    text: str,
    weights: RewardWeights | None = None,
    finish_reason: FinishReason = "stop",
    truncated_scores_zero: bool = True,
    prompt: Prompt = PROMPT,
) -> ScoredRollout:
    groups = [(prompt, (5, 6), [rollout(text, finish_reason)])]
    [group] = score_groups(groups, weights or RewardWeights(), "0", truncated_scores_zero)
    return group.members[0]


def test_reward_is_the_weighted_sum_and_both_scores_are_kept() -> None:
    weights = RewardWeights(accuracy=2.0, format=0.5)
    assert score_one(RIGHT, weights).reward == 2.5
    wrong = score_one("<think>hm</think> <answer>8</answer>", weights)
    assert (wrong.scores, wrong.reward) == ({"accuracy": 0.0, "format": 1.0}, 0.5)
    untagged = score_one("3+4=7</think> <answer>7</answer>", weights)
    assert (untagged.scores, untagged.reward) == ({"accuracy": 1.0, "format": 0.0}, 2.0)


def test_accuracy_and_format_are_kept_without_weight() -> None:
    scored = score_one(RIGHT, RewardWeights(accuracy=0.0, format=0.0, random=1.0))
    assert scored.scores["accuracy"] == scored.scores["format"] == 1.0
    assert scored.reward == scored.scores["random"]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_truncated_rollout_scores_zero_in_accuracy_and_format_if_asked(weight: float) -> None:
    weights = RewardWeights(random=weight)
    cut = score_one(RIGHT, weights, "length")
    assert cut.scores["accuracy"] == cut.scores["format"] == 0.0
    assert cut.reward == cut.scores.get("random", 0.0)
    assert score_one(RIGHT, weights, "length", truncated_scores_zero=False).reward >= 2.0


def test_random_is_a_fair_coin_that_repeats_with_its_seed() -> None:
    groups = [(PROMPT, (5,), [rollout(RIGHT)] * 400)]
    first, again = (score_groups(groups, RewardWeights(random=1.0), "3", True)[0] for _ in range(2))
    assert first == again
    assert 160 < sum(member.scores["random"] for member in first.members) < 240


def test_groups_keep_their_prompts_order_and_rollouts_and_all_programs_are_judged_in_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    judge = program_runner.judge_programs
    monkeypatch.setattr(score, "judge_programs", lambda jobs: calls.append(len(jobs)) or judge(jobs))
    answers = ["lambda x: 2*x", "lambda x: x", None, "lambda x: x+x"]
    texts = [f"<think>ok</think> <answer>{answer}</answer>" if answer else "no answer" for answer in answers]
    groups = [
        (PROGRAM, (1,), [rollout(text) for text in texts[:2]]),
        (PROMPT, (2,), [rollout(RIGHT), rollout("7")]),
        (PROGRAM, (3,), [rollout(text) for text in texts[2:]]),
    ]
    scored = score_groups(groups, RewardWeights(), "0", True)
    assert calls == [3]
    assert [group.prompt_ids for group in scored] == [(1,), (2,), (3,)]
    assert [[member.scores["accuracy"] for member in group.members] for group in scored] == [[1, 0], [1, 0], [0, 1]]
    assert all(m.rollout is r for group, (_, _, rs) in zip(scored, groups, strict=True)
               for m, r in zip(group.members, rs, strict=True))  # fmt: skip


def test_a_failed_judge_stops_the_scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_runner, "_WORKER", tmp_path / "missing.py")
    with pytest.raises(GraderError, match=r"missing\.py"):
        score_one("<think>ok</think> <answer>lambda x: x</answer>", prompt=PROGRAM)
