"""Rewards of whole groups."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.rewards import CustomReward, RewardWeights
from thinkwright.errors import GraderError
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import SampledGroup, check_error_share, score_groups, set_aside
from thinkwright.types import FinishReason, Prompt, Rollout, RolloutGroup, ScoredRollout

PROMPT = Prompt(
    prompt_id="arithmetic-1",
    question="What is 3+4?",
    text="User: What is 3+4? Assistant:",
    verifier="number",
    gold="7",
    reference="7",
    template="r1_zero",
    family="arithmetic",
    level=1,
    language="en",
)
PROGRAM = replace(PROMPT, prompt_id="programs-1", verifier="program", gold=json.dumps([[1, 2], [2, 4]]))
QUICK = replace(PROMPT, prompt_id="poison-1", verifier="quick", gold="g")
RIGHT = "<think>3+4=7</think> <answer>7</answer>"
ScoreOne = Callable[..., ScoredRollout]


@pytest.fixture(scope="module")
def poisoned() -> Iterator[WorkerPool]:
    with WorkerPool(2, "tests.rewards.poison:VERIFIERS") as pool:
        yield pool


def rollout(text: str, finish_reason: FinishReason = "stop", num_tokens: int = 2) -> Rollout:
    numbers = (-0.5,) * num_tokens
    return Rollout((1,) * num_tokens, numbers, numbers, (False,) * num_tokens, text, finish_reason, policy_version=0)


def answered(*answers: str, prompt: Prompt = QUICK) -> SampledGroup:
    return prompt, (5,), [rollout(f"<think>ok</think> <answer>{answer}</answer>") for answer in answers]


def accuracies(groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
    return [[member.scores.get("accuracy") for member in group.members] for group in groups]


@pytest.fixture
def score_one(pool: WorkerPool) -> ScoreOne:
    def score(
        text: str,
        rewards: RewardWeights | None = None,
        finish_reason: FinishReason = "stop",
        num_tokens: int = 2,
        prompt: Prompt = PROMPT,
        **settings: Any,
    ) -> ScoredRollout:
        groups = [(prompt, (5, 6), [rollout(text, finish_reason, num_tokens)])]
        [group] = score_groups(groups, rewards or RewardWeights(), pool, **settings)
        return group.members[0]

    return score


def test_reward_is_the_weighted_sum_and_both_scores_are_kept(score_one: ScoreOne) -> None:
    weights = RewardWeights(accuracy=2.0, format=0.5)
    assert score_one(RIGHT, weights).reward == 2.5
    wrong = score_one("<think>hm</think> <answer>8</answer>", weights)
    assert (wrong.scores, wrong.reward, wrong.outcome) == ({"accuracy": 0.0, "format": 1.0}, 0.5, "graded")
    untagged = score_one("3+4=7</think> <answer>7</answer>", weights)
    assert (untagged.scores, untagged.reward) == ({"accuracy": 1.0, "format": 0.0}, 2.0)


def test_accuracy_and_format_are_kept_without_weight(score_one: ScoreOne) -> None:
    scored = score_one(RIGHT, RewardWeights(accuracy=0.0, format=0.0, random=1.0))
    assert scored.scores["accuracy"] == scored.scores["format"] == 1.0
    assert scored.reward == scored.scores["random"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_completion_is_told_apart_by_the_template_of_its_prompt(score_one: ScoreOne, name: str) -> None:
    template = TEMPLATES[name]
    # In the boxed template the verifier is given the whole completion.
    verifier, answer = ("math", "7") if name == "boxed" else ("number", "7")
    prompt = replace(PROMPT, template=name, text=template.prompt(PROMPT.question), verifier=verifier)
    assert score_one(template.write("3 and 4 is 7", answer), prompt=prompt).scores == {"accuracy": 1.0, "format": 1.0}
    assert score_one("8", prompt=prompt).scores == {"accuracy": 0.0, "format": 0.0}


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_truncated_rollout_scores_zero_in_accuracy_and_format_if_asked(score_one: ScoreOne, weight: float) -> None:
    weights = RewardWeights(random=weight)
    cut = score_one(RIGHT, weights, "length")
    assert cut.scores["accuracy"] == cut.scores["format"] == 0.0
    assert cut.reward == cut.scores.get("random", 0.0)
    assert score_one(RIGHT, weights, "length", truncated_scores_zero=False).reward >= 2.0


def test_random_is_a_fair_coin_that_repeats_with_its_seed(pool: WorkerPool) -> None:
    groups = [(PROMPT, (5,), [rollout(RIGHT)] * 400)]
    first, again, other = (
        score_groups(groups, RewardWeights(random=1.0), pool, coin_seed=seed)[0] for seed in ("3", "3", "4")
    )
    assert first == again != other
    assert 160 < sum(member.scores["random"] for member in first.members) < 240


def test_groups_keep_their_prompts_order_and_rollouts(pool: WorkerPool) -> None:
    answers = ["lambda x: 2*x", "lambda x: x", None, "lambda x: x+x"]
    texts = [f"<think>ok</think> <answer>{answer}</answer>" if answer else "no answer" for answer in answers]
    groups = [
        (PROGRAM, (1,), [rollout(text) for text in texts[:2]]),
        (PROMPT, (2,), [rollout(RIGHT), rollout("7")]),
        (PROGRAM, (3,), [rollout(text) for text in texts[2:]]),
    ]
    scored = score_groups(groups, RewardWeights(), pool)
    assert [group.prompt_ids for group in scored] == [(1,), (2,), (3,)]
    assert accuracies(scored) == [[1, 0], [1, 0], [0, 1]]
    assert all(m.rollout is r for group, (_, _, rs) in zip(scored, groups, strict=True)
               for m, r in zip(group.members, rs, strict=True))  # fmt: skip
    assert score_groups([], RewardWeights(), pool) == []


def test_language_is_scored_on_the_thought_and_an_empty_thought_earns_nothing(score_one: ScoreOne) -> None:
    weights = RewardWeights(language=0.5)
    chinese = "<think>三加四等于七，所以答案应该是七</think> <answer>7</answer>"
    assert score_one(chinese, weights).scores["language"] == 0.0
    assert score_one(chinese, weights, prompt=replace(PROMPT, language="zh")).scores["language"] == 1.0
    assert score_one(chinese, RewardWeights(language=0.5, language_target="zh")).scores["language"] == 1.0
    english = "<think>three and four make seven</think> <answer>7</answer>"
    assert score_one(english, weights).reward == 2.5
    assert score_one("<think></think> <answer>7</answer>", weights).scores["language"] == 0.0
    assert score_one(english, weights, "length").scores["language"] == 0.0


def test_length_and_repetition_take_away_from_the_reward(score_one: ScoreOne) -> None:
    weights = RewardWeights(overlong=1.0, overlong_buffer_tokens=10, repetition=1.0, repetition_ngram=2)
    short = score_one(RIGHT, weights, num_tokens=90, max_tokens=100)
    assert short.scores["overlong"] == 0.0
    assert -1 < short.scores["repetition"] <= 0.0
    assert score_one(RIGHT, weights, num_tokens=95, max_tokens=100).scores["overlong"] == -0.5
    cut = score_one("and so on " * 50, weights, "length", num_tokens=100, max_tokens=100)
    assert cut.scores["overlong"] == -1.0
    assert cut.scores["repetition"] < -0.9
    assert cut.reward == cut.scores["overlong"] + cut.scores["repetition"]
    fifth = score_one(RIGHT, RewardWeights(overlong=1.0), num_tokens=90, max_tokens=100)
    assert fifth.scores["overlong"] == -0.5


def test_the_cosine_pays_short_right_answers_more_and_long_wrong_ones(score_one: ScoreOne) -> None:
    weights = RewardWeights(cosine_length=1.0)

    def cosine(text: str, num_tokens: int, finish_reason: FinishReason = "stop") -> float:
        return score_one(text, weights, finish_reason, num_tokens, max_tokens=100).scores["cosine_length"]

    wrong = RIGHT.replace("<answer>7", "<answer>8")
    assert cosine(RIGHT, 5) > cosine(RIGHT, 95) > cosine(RIGHT, 100) > 0
    assert cosine(wrong, 5) < cosine(wrong, 95) < 0
    assert cosine(RIGHT, 100, "length") == -1.0


def test_lengths_are_held_against_the_group_and_a_target(pool: WorkerPool) -> None:
    group = answered("7", "7", "7", "8", prompt=PROMPT)
    long = replace(group[2][1], token_ids=(1,) * 90, logprobs=(0.0,) * 90)
    rollouts = (group[2][0], long, *group[2][2:])
    weights = RewardWeights(lazy_length=1.0, lazy_length_from=0.5, target_length=1.0, target_length_tokens=30)
    [scored] = score_groups([(group[0], group[1], rollouts)], weights, pool)
    lazy = [member.scores["lazy_length"] for member in scored.members]
    assert lazy[1] == -1.0
    assert [lazy[0], *lazy[2:]] == [0.0] * 3
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    assert [member.scores["target_length"] for member in scored.members] == pytest.approx(
        [-min(1.0, abs(length - 30) / 30) for length in lengths]
    )


def test_what_a_grader_cannot_score_is_set_aside_and_the_rest_is_scored(poisoned: WorkerPool) -> None:
    group = answered("is g", "raise it", "sleep", "is h", "no such action")
    [scored] = score_groups([group], RewardWeights(), poisoned)
    assert [member.outcome for member in scored.members] == ["graded", "failed", "timeout", "graded", "failed"]
    assert accuracies([scored]) == [[1.0, None, None, 0.0, None]]
    assert [member.scores["format"] for member in scored.members] == [1.0] * 5
    assert [member.reward for member in scored.members] == [2.0, 0.0, 0.0, 1.0, 0.0]
    rows = set_aside([scored])
    assert [row["outcome"] for row in rows] == ["failed", "timeout", "failed"]
    assert rows[0]["prompt_id"] == "poison-1"
    assert "accuracy: ValueError: cannot grade it" in rows[0]["detail"]
    assert "raise it" in rows[0]["completion"]


def test_a_bad_gold_sets_its_whole_group_aside(poisoned: WorkerPool) -> None:
    prompt, ids, rollouts = answered("is bad", "is g", prompt=replace(QUICK, gold="bad"))
    [scored] = score_groups([(prompt, ids, [*rollouts, rollout("no answer")])], RewardWeights(), poisoned)
    assert [(member.outcome, "accuracy" in member.scores) for member in scored.members] == [("skipped", False)] * 3
    assert scored.members[2].detail == "accuracy: is bad"


def test_a_function_scores_whole_groups_and_one_that_fails_sets_them_aside(poisoned: WorkerPool) -> None:
    groups = [answered("is g", "is longer"), answered("is seven", "is h", prompt=replace(QUICK, gold="7"))]
    lengths, hangs = (f"tests.rewards.poison:{name}" for name in ("lengths", "hangs_on_seven"))
    rewards = RewardWeights(custom=(CustomReward(function=lengths, weight=-0.1),))
    first, second = score_groups(groups, rewards, poisoned)
    assert [member.scores[lengths] for member in first.members] == [4.0, 9.0]
    assert [member.reward for member in first.members] == pytest.approx([2 - 0.4, 1 - 0.9])
    rewards = RewardWeights(custom=(CustomReward(function=hangs, deadline_seconds=1.0),))
    first, second = score_groups(groups, rewards, poisoned)
    assert [member.reward for member in first.members] == [2.5, 1.5]
    assert [(member.outcome, member.reward) for member in second.members] == [("timeout", 0.0)] * 2
    assert hangs in second.members[0].detail


@pytest.mark.parametrize(
    ("function", "detail"),
    [
        ("too_few", "gave 1 numbers for 2 replies"),
        ("not_a_number", "gave nan for reply 0"),
        ("raises", "KeyError: 'no such thing'"),
        ("no_such_function", "AttributeError"),
    ],
)
def test_a_function_that_raises_or_gives_no_number_each_sets_the_group_aside(
    poisoned: WorkerPool, function: str, detail: str
) -> None:
    rewards = RewardWeights(custom=(CustomReward(function=f"tests.rewards.poison:{function}"),))
    [scored] = score_groups([answered("is g", "is h")], rewards, poisoned)
    assert [member.outcome for member in scored.members] == ["failed"] * 2
    assert all(detail in member.detail for member in scored.members)
    assert all(member.scores.keys() == {"accuracy", "format"} for member in scored.members)


def test_too_large_a_share_of_errors_stops_the_run_and_lists_them(poisoned: WorkerPool) -> None:
    groups = [
        answered(*["is g"] * 98, "raise one", "is g"),
        answered(*["is g"] * 99, "raise two", prompt=replace(QUICK, prompt_id="poison-2")),
    ]
    scored = score_groups(groups, RewardWeights(), poisoned)
    check_error_share(scored, 0.01)
    with pytest.raises(GraderError, match=r"(?s)2 of 200 rollouts.*max_error_share = 0\.005.*poison-1.*poison-2"):
        check_error_share(scored, 0.005)
    with pytest.raises(GraderError, match=r"graded, more than max_error_share = 0.005"):
        check_error_share(scored, 0.005, "max_error_share")


def test_one_bad_row_alone_never_stops_the_run_unless_there_is_no_other(poisoned: WorkerPool) -> None:
    good, bad = answered("is g", "is h"), answered("is g", "is h", prompt=replace(QUICK, prompt_id="b", gold="bad"))
    check_error_share(score_groups([good, bad], RewardWeights(), poisoned), 0.01)
    with pytest.raises(GraderError, match="2 of 2 rollouts"):
        check_error_share(score_groups([bad], RewardWeights(), poisoned), 0.01)
