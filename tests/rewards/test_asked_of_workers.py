"""What the rewards ask of workers, word for word, and what they make of any result; nothing here starts a process."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest

from tests.rewards.test_score import PROMPT, RIGHT, rollout
from thinkwright.config.load import load_recipe
from thinkwright.config.rewards import CustomReward, RewardWeights
from thinkwright.errors import GraderError
from thinkwright.rewards.pool import Job, Result, Task, Verdict, WorkerPool
from thinkwright.rewards.preference import score_by_preference
from thinkwright.rewards.score import check_error_share, score_as_trained, score_groups, set_aside
from thinkwright.types import Outcome, Prompt, RolloutGroup, ScoredRollout

FUNCTION = "package.module:function"
WRONG = RIGHT.replace("<answer>7", "<answer>8")
OUTSIDE = replace(PROMPT, template="think_summary", question="Hi, I am Tom.", prompt_id="greeting-1")
Answer = Callable[[Task], Result]


class Asked:
    """In place of the workers: keeps what it is asked, and gives the results it is told to."""

    def __init__(
        self,
        answer: Answer = lambda task: Result("graded", 0.25, ""),
        verdict: Callable[[Job], Verdict] = lambda job: Verdict(float(job.answer == job.gold), "graded"),
    ) -> None:
        self.answer, self.verdict = answer, verdict
        self.tasks: list[Task] = []
        self.jobs: list[Job] = []

    @property
    def pool(self) -> WorkerPool:
        return cast(WorkerPool, self)

    def run(self, tasks: Sequence[Task]) -> list[Result]:
        self.tasks += tasks
        return [self.answer(task) for task in tasks]

    def grade(self, jobs: Sequence[Job]) -> list[Verdict]:
        self.jobs += jobs
        return [self.verdict(job) for job in jobs]


def fails(outcome: Outcome, detail: str) -> Asked:
    return Asked(lambda task: Result(outcome, None, detail))


def score(
    rewards: RewardWeights, *texts: str, asked: Asked | None = None, prompt: Prompt = PROMPT, **settings: Any
) -> list[ScoredRollout]:
    members = [rollout(text) for text in texts]
    [group] = score_groups([(prompt, (1,), members)], rewards, (asked or Asked()).pool, **settings)
    return list(group.members)


def test_verifiers_are_asked_about_answers_alone() -> None:
    asked = Asked()
    scored = score(RewardWeights(), RIGHT, "no answer", WRONG, asked=asked)
    assert asked.jobs == [Job("number", "7", "7"), Job("number", "8", "7")]
    assert [member.scores["accuracy"] for member in scored] == [1.0, 0.0, 0.0]


def test_a_cut_completion_is_worth_nothing_unread_unless_the_recipe_says_else() -> None:
    asked, cut = Asked(), [(PROMPT, (1,), [rollout(RIGHT, "length")])]
    [group] = score_groups(cut, RewardWeights(language=1.0), asked.pool)
    assert group.members[0].scores == {"accuracy": 0.0, "format": 0.0, "language": 0.0}
    assert (asked.jobs, asked.tasks) == ([], [])
    [group] = score_groups(cut, RewardWeights(), asked.pool, truncated_scores_zero=False)
    assert group.members[0].scores == {"accuracy": 1.0, "format": 1.0}


def test_a_gold_that_cannot_be_compared_with_sets_all_aside_and_a_failure_one() -> None:
    asked = Asked(verdict=lambda job: Verdict(None, "skipped", "is bad"))
    scored = score(RewardWeights(), RIGHT, "no answer", WRONG, asked=asked)
    assert {(m.outcome, m.detail, m.reward, "accuracy" in m.scores) for m in scored} == {
        ("skipped", "accuracy: is bad", 0.0, False)
    }
    asked = Asked(verdict=lambda job: Verdict(float(job.answer == "7"), "graded" if job.answer == "7" else "failed"))
    scored = score(RewardWeights(), RIGHT, "no answer", WRONG, asked=asked)
    assert [(m.outcome, m.scores.get("accuracy")) for m in scored] == [
        ("graded", 1.0),
        ("graded", 0.0),
        ("failed", None),
    ]


def test_texts_are_read_in_workers_kind_by_kind_without_the_words_of_the_question() -> None:
    asked = Asked(lambda task: Result("graded", 0.5 if task.kind == "language" else -0.25, ""))
    rewards = RewardWeights(language=1.0, repetition=2.0, repetition_ngram=4)
    scored = score(rewards, RIGHT, WRONG, asked=asked)
    language = Task("language", "en", ("3+4=7", "What is 3+4?"), 5.0)
    repetitions = [Task("repetition", "words", (text, 4), 5.0) for text in (RIGHT, WRONG)]
    assert asked.tasks == [language, language, *repetitions]
    assert scored[0].scores == {"accuracy": 1.0, "format": 1.0, "language": 0.5, "repetition": -0.25}
    assert [member.reward for member in scored] == [2 + 0.5 - 0.5, 1 + 0.5 - 0.5]


def test_in_another_language_the_words_of_the_question_count() -> None:
    asked = Asked()
    score(RewardWeights(language=1.0, language_target="zh"), RIGHT, "<think></think> <answer>7</answer>", asked=asked)
    assert asked.tasks == [Task("language", "zh", ("3+4=7", ""), 5.0)]


def test_a_text_that_no_worker_could_read_sets_its_rollout_aside_by_the_first_reason() -> None:
    rewards = RewardWeights(language=1.0, repetition=1.0, custom=(CustomReward(function=FUNCTION),))
    [member] = score(rewards, RIGHT, asked=fails("timeout", "too long"))
    assert (member.outcome, member.detail, member.reward) == ("timeout", "language: too long", 0.0)
    assert member.scores == {"accuracy": 1.0, "format": 1.0}


def test_a_function_is_told_everything_of_a_group_that_it_may_know() -> None:
    asked = Asked(lambda task: Result("graded", [0.5, -1.0], ""))
    rewards = RewardWeights(custom=(CustomReward(function=FUNCTION, weight=2.0, deadline_seconds=7.0),))
    cut = rollout("<think>3+4", "length", num_tokens=9)
    [group] = score_groups([(PROMPT, (1,), [rollout(RIGHT), cut])], rewards, asked.pool)
    [task] = asked.tasks
    assert (task.kind, task.name, task.deadline_seconds) == ("function", FUNCTION, 7.0)
    replies, prompt = task.arguments
    assert replies == [
        {"completion": RIGHT, "thought": "3+4=7", "answer": "7", "is_truncated": False, "num_tokens": 2},
        {"completion": "<think>3+4", "thought": "3+4", "answer": None, "is_truncated": True, "num_tokens": 9},
    ]
    assert prompt == {
        "question": "What is 3+4?",
        "gold": "7",
        "reference": "7",
        "family": "arithmetic",
        "level": 1,
        "language": "en",
    }
    assert [member.reward for member in group.members] == [2.0 + 1.0, -2.0]


def test_coins_are_tossed_by_seed_and_prompt() -> None:
    other = replace(PROMPT, prompt_id="arithmetic-2")
    groups = [(prompt, (1,), [rollout(RIGHT)] * 8) for prompt in (PROMPT, other)]
    scored = score_groups(groups, RewardWeights(random=1.0), Asked().pool, coin_seed="7/3")
    for group in scored:
        coin = Random(f"coin/7/3/{group.prompt.prompt_id}")
        assert [member.scores["random"] for member in group.members] == [
            float(coin.random() < 0.5) for _ in group.members
        ]
    unseeded, empty = (
        score_groups(groups, RewardWeights(random=1.0), Asked().pool, **s) for s in ({}, {"coin_seed": ""})
    )
    assert unseeded == empty


@pytest.mark.parametrize(("max_tokens", "num_tokens", "expected"), [(100, 81, -0.05), (3, 2, 0.0), (3, 3, -1.0)])
def test_the_buffer_before_the_limit_is_a_fifth_of_it_and_one_token_at_least(
    max_tokens: int, num_tokens: int, expected: float
) -> None:
    groups = [(PROMPT, (1,), [rollout(RIGHT, num_tokens=num_tokens)])]
    [group] = score_groups(groups, RewardWeights(overlong=1.0), Asked().pool, max_tokens=max_tokens)
    assert group.members[0].scores["overlong"] == pytest.approx(expected)


def test_rewards_of_length_need_a_limit() -> None:
    [member] = score(RewardWeights(format=0.5), RIGHT, max_tokens=100)
    assert member.scores.keys() == {"accuracy", "format"}


def test_on_its_last_place_a_completion_is_not_yet_over_the_limit() -> None:
    groups = [(PROMPT, (1,), [rollout(RIGHT, num_tokens=10), rollout(RIGHT, "length", num_tokens=10)])]
    rewards = RewardWeights(cosine_length=1.0)
    [group] = score_groups(groups, rewards, Asked().pool, max_tokens=10, truncated_scores_zero=False)
    assert [member.scores["cosine_length"] for member in group.members] == pytest.approx([0.512236, -1.0], abs=1e-6)


@pytest.mark.parametrize(("share", "is_paid"), [(None, True), (0.75, True), (0.8, False), (0.0, True)])
def test_length_is_marked_down_from_a_share_of_right_answers_on(share: float | None, is_paid: bool) -> None:
    rewards = RewardWeights(lazy_length=1.0, lazy_length_from=share)
    members = [rollout(RIGHT), rollout(RIGHT), rollout(RIGHT, num_tokens=90), rollout(WRONG)]
    [group] = score_groups([(PROMPT, (1,), members)], rewards, Asked().pool)
    assert [member.scores["lazy_length"] for member in group.members] == [0.0, 0.0, -1.0 if is_paid else 0.0, 0.0]


@pytest.mark.parametrize(("scores_zero", "expected"), [(True, [1.0, 1.0, -2.0]), (False, [0.0, 0.0, 0.0])])
def test_cut_members_are_no_part_of_means_where_they_take_no_part_in_the_update(
    scores_zero: bool, expected: list[float]
) -> None:
    groups = [(PROMPT, (1,), [rollout(RIGHT), rollout(RIGHT), rollout("<think>3", "length")])]
    rewards = RewardWeights(normalize="per_reward")
    [group] = score_groups(groups, rewards, Asked().pool, truncated_scores_zero=scores_zero)
    found = [member.reward for member in group.members]
    assert found == pytest.approx([value * 2**0.5 for value in expected])


def groups_with(*outcomes: Outcome, text: str = "said") -> list[RolloutGroup]:
    """A group of one for each."""
    return [
        RolloutGroup(
            replace(PROMPT, prompt_id=f"row-{i}"), (1,), (ScoredRollout(rollout(text), {}, 0.0, outcome, f"why {i}"),)
        )
        for i, outcome in enumerate(outcomes)
    ]


def test_of_a_long_completion_both_ends_are_shown() -> None:
    short, long = "a" * 200, "a" * 100 + "b" + "c" * 100
    assert set_aside(groups_with("failed", text=short))[0]["completion"] == short
    [row] = set_aside(groups_with("graded", "timeout", text=long))
    assert row == {
        "prompt_id": "row-1",
        "outcome": "timeout",
        "detail": "why 1",
        "completion": f"{'a' * 100} ... {'c' * 100}",
    }


def test_five_errors_are_shown_and_a_share_that_is_just_reached_is_none_too_many() -> None:
    groups = groups_with(*["failed"] * 6, *["graded"] * 6)  # type: ignore[arg-type]
    check_error_share(groups, 0.5)
    with pytest.raises(GraderError) as caught:
        check_error_share(groups, 0.49)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("6 of 12 rollouts could not be graded, more than rewards.max_error_share = 0.49; mend")
    assert lines[1:] == [f"  row-{i}: failed: why {i}: 'said'" for i in range(5)]


def preferred(asked: Asked, rewards: RewardWeights, *texts: str) -> list[ScoredRollout]:
    group = OUTSIDE, (1,), [rollout(text) for text in texts]
    [scored] = score_by_preference([group], "helpful", lambda shown: [0.5] * len(shown), 2.0, rewards, asked.pool)
    return list(scored.members)


def test_the_thought_before_a_liked_answer_is_read_without_the_words_of_the_question() -> None:
    asked, texts = Asked(), ("<think>a man</think> Hello.", "Hello.")
    thoughtful, bare = preferred(asked, RewardWeights(language=1.0), *texts)
    assert asked.tasks == [Task("language", "en", ("a man", "Hi, I am Tom."), 5.0)]
    assert (thoughtful.reward, bare.reward) == (1.0 + 1.0 + 0.25, 1.0 + 1.0 + 1.0)
    asked = Asked()
    preferred(asked, RewardWeights(language=1.0, language_target="zh"), *texts)
    assert asked.tasks == [Task("language", "zh", ("a man", ""), 5.0)]


@pytest.mark.parametrize("result", [Result("timeout", None, "too long"), Result("failed", 0.5, "too long")])
def test_a_liked_answer_whose_thought_could_not_be_read_has_no_reward(result: Result) -> None:
    [member] = preferred(Asked(lambda task: result), RewardWeights(language=1.0), "<think>a man</think> Hello.")
    assert (member.outcome, member.detail, member.reward) == (result.outcome, "language: too long", 0.0)
    assert member.scores == {"helpful": 0.5, "format": 1.0}


def test_verdicts_go_to_the_members_they_are_of_in_every_group() -> None:
    groups = [
        (OUTSIDE, (1,), [rollout("Hi."), rollout(""), rollout("Hello.")]),
        (replace(OUTSIDE, question="Who?"), (2,), [rollout("<think>a</think>"), rollout("<think>a</think> Me.")]),
    ]
    shown: list[Any] = []

    def judge(responses: Sequence[Any]) -> list[float]:
        shown.extend(responses)
        return [0.1 * (i + 1) for i in range(len(responses))]

    scored = score_by_preference(groups, "kind", judge, 1.0, RewardWeights(format=0.0), Asked().pool)
    assert shown == [("Hi, I am Tom.", None, "Hi."), ("Hi, I am Tom.", None, "Hello."), ("Who?", "a", "Me.")]
    assert [[m.reward for m in group.members] for group in scored] == [
        [pytest.approx(0.1), 0.0, pytest.approx(0.2)],
        [0.0, pytest.approx(0.3)],
    ]
    assert [group.prompt_ids for group in scored] == [(1,), (2,)]


def test_a_judge_that_leaves_a_response_out_is_no_judge() -> None:
    group = OUTSIDE, (1,), [rollout("Hi."), rollout("Hello.")]
    with pytest.raises(ValueError, match=r"zip\(\)"):
        score_by_preference([group], "kind", lambda shown: [1.0], 1.0, RewardWeights(), Asked().pool)


@pytest.mark.parametrize("truncated", ["zero_reward", "mask"])
def test_a_recipe_says_what_a_cut_completion_is_worth(truncated: str) -> None:
    recipe = load_recipe("tiny/r1-zero", [f"algorithm.truncated={truncated}"])
    cut = rollout(RIGHT, "length")
    [group] = score_as_trained([(PROMPT, (1,), [cut])], recipe, Asked().pool, "coin")
    assert (group.members[0].reward == 0.0) is (truncated == "zero_reward")
