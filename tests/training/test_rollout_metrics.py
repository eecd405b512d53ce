"""What a step's metrics say of its rollouts, worked out by hand on a few of them."""

import time
from dataclasses import replace

import pytest

from tests.training_groups import training_group
from thinkwright.training.rollout_metrics import Timed, account, group_metrics, speed_metrics
from thinkwright.types import (
    FinishReason,
    Metrics,
    Outcome,
    Prompt,
    Rollout,
    RolloutGroup,
    ScoredRollout,
)

PROMPT = Prompt("p", "q", "t", "number", "1", "1", "r1_zero", "arithmetic", 1, "en")


def member(
    accuracy: float, length: int = 2, text: str = "", finish: FinishReason = "stop", outcome: Outcome = "graded",
    reward: float | None = None,
) -> ScoredRollout:  # fmt: skip
    zeros = (0.0,) * length
    rollout = Rollout(tuple(range(length)), zeros, zeros, (False,) * length, text, finish, 0)
    scores = {"accuracy": accuracy} if outcome == "graded" else {}
    return ScoredRollout(rollout, scores, accuracy if reward is None else reward, outcome)


def group(*members: ScoredRollout) -> RolloutGroup:
    return RolloutGroup(PROMPT, (1,), members)


def test_groups_without_variance_are_told_apart_by_why() -> None:
    metrics = group_metrics(
        [
            group(member(1.0), member(1.0)),
            group(member(0.0), member(0.0)),
            group(member(0.0), member(0.5, reward=0.0)),  # none right, though not alike
            group(member(1.0), member(0.0)),
            group(member(1.0), member(0.0, outcome="failed")),  # one graded member: nothing to compare
        ]
    )
    assert metrics["rollout/all_right_groups"] == 0.25
    assert metrics["rollout/all_wrong_groups"] == 0.5
    assert metrics["reward/group_std"] == pytest.approx(0.5 / 4)


def test_rewards_that_do_not_differ_among_right_and_wrong_are_neither() -> None:
    metrics = group_metrics([group(member(1.0, reward=1.0), member(0.0, reward=1.0))])
    assert (metrics["rollout/all_right_groups"], metrics["rollout/all_wrong_groups"]) == (0.0, 0.0)


def test_lengths_are_split_and_a_kind_that_is_not_there_has_no_length() -> None:
    metrics = group_metrics([group(member(1.0, 2), member(1.0, 4), member(0.0, 9))])
    names = ("right", "wrong", "finished", "truncated")
    assert [metrics.get(f"rollout/response_tokens_{name}") for name in names] == [3.0, 9.0, 5.0, None]
    assert (metrics["rollout/response_tokens_min"], metrics["rollout/response_tokens_max"]) == (2, 9)
    cut = group_metrics([group(member(0.0, 8, finish="length"), member(0.0, 8, finish="length", outcome="failed"))])
    assert cut["rollout/response_tokens_truncated"] == cut["rollout/response_tokens_wrong"] == 8.0
    assert cut["rollout/truncated_rate"] == 1.0
    assert "rollout/response_tokens_finished" not in cut


def test_signs_of_thought_are_counted_a_response() -> None:
    texts = ("wait, wrong\n3+4=7", "wait, check again, wait", "7", "等等，再检查")
    metrics = group_metrics([group(*(member(1.0, text=text) for text in texts))])
    assert metrics["reflection/wait"] == 1.0
    assert metrics["reflection/check"] == 0.5
    assert metrics["reflection/retry"] == 0.0
    words = [value for name, value in metrics.items() if name.startswith("reflection/")]
    assert len(words) == 10
    assert metrics["rollout/reflection_words"] == pytest.approx(sum(words))
    assert metrics["rollout/reflection_rate"] == 0.75
    assert (metrics["rollout/checking_rate"], metrics["rollout/correcting_rate"]) == (0.5, 0.25)


def test_speed_is_told_by_phase_and_only_of_phases_that_took_place() -> None:
    learned = training_group((1,), ((1, 2, 3), (4,)), ((0.0,) * 3, (0.0,)), (1.0, -1.0))
    groups = [group(member(1.0), member(0.0))]
    metrics: Metrics = speed_metrics(12, 3.0, groups, 0.5, [learned], 2.0)
    assert metrics == {
        "rollout/tokens_per_second": 4.0,
        "reward/answers_per_second": 4.0,
        "update/tokens_per_second": 2.0,
    }
    assert speed_metrics(12, 3.0, groups, 0.0, [], 2.0) == {"rollout/tokens_per_second": 4.0}


def test_only_the_time_at_work_is_counted_also_of_a_scoring_that_fails() -> None:
    def score(groups: object) -> list[RolloutGroup]:
        time.sleep(0.02)
        raise ValueError("no")

    scoring = Timed(score)
    start = time.monotonic()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            scoring([])
    at_work = time.monotonic() - start
    time.sleep(0.05)
    assert 0.04 <= scoring.seconds <= at_work


def test_every_rollout_of_a_step_is_accounted_for_once() -> None:
    cut = member(0.0, finish="length")
    taught = group(replace(member(1.0), advantage=1.0), replace(member(0.0), advantage=-1.0), cut)
    found = account(
        [taught, group(member(1.0), member(1.0)), group(member(1.0), member(0.0, outcome="timeout")), group(cut, cut)]
    )
    assert found == {
        "rollout/sampled": 9,
        "rollout/learned": 2,
        "rollout/left_out": 1,
        "rollout/without_variance": 5,
        "rollout/not_graded": 1,
    }
    assert found["rollout/sampled"] == sum(found.values()) / 2
