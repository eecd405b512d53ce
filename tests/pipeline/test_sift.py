"""What is kept of sampled completions: right, whole, readable, in one language, few of each prompt."""

from dataclasses import replace

import pytest

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.rejection import Keep
from thinkwright.pipeline.sift import choose, fault_of, sift
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

QUESTION = "How many legs do two dogs and a bird have together?"
PROMPT = Prompt(
    "q", QUESTION, TEMPLATES["think_summary"].prompt(QUESTION), "number", "10", "10", "think_summary", "f", 1, "en"
)
THOUGHT = "Two dogs have eight legs together, and the bird has two more, which makes ten."


def member(thought: str = THOUGHT, answer: str = "10", num_tokens: int = 5) -> ScoredRollout:
    text = TEMPLATES["think_summary"].write(thought, answer)
    ids, zeros = tuple(range(num_tokens)), (0.0,) * num_tokens
    return ScoredRollout(Rollout(ids, zeros, zeros, (False,) * num_tokens, text, "stop", 0), {"accuracy": 1.0}, 1.0)


def test_a_right_and_readable_completion_is_kept() -> None:
    assert fault_of(PROMPT, member(), Keep()) is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (replace(member(), outcome="timeout"), "could not be graded"),
        (replace(member(), rollout=replace(member().rollout, finish_reason="length")), "cut at the limit"),
        (replace(member(), scores={"accuracy": 0.5}), "wrong"),
        (replace(member(), rollout=replace(member().rollout, text="10")), "not well formed"),
        (member("两只狗一共有八条腿，一只鸟还有两条腿，加起来就是十条腿。"), "thought in mixed languages"),
        (member(f"{THOUGHT} Then I look at it again, since one may err. " * 40), "long paragraphs"),
        (member(f"{THOUGHT}\n```python\nprint(4 + 4 + 2)\n```"), "code in the thought"),
        (member("\n\n".join([f"{THOUGHT} So I am rather sure of what I found just now."] * 6)), "repeats itself"),
    ],
)
def test_each_fault_is_told(bad: ScoredRollout, reason: str) -> None:
    assert fault_of(PROMPT, bad, Keep()) == reason


def test_settings_let_pass_what_they_say() -> None:
    keep = Keep(min_language=0, allow_code=True, max_paragraph_characters=10_000, max_repetition=1.0)
    for good in ("两只狗一共有八条腿。", f"{THOUGHT}\n```\n4 + 4\n```", f"{THOUGHT} " * 40):
        assert fault_of(PROMPT, member(good), keep) is None


def test_of_one_prompt_the_shortest_that_differ_are_kept_and_all_others_counted() -> None:
    members = (
        member(num_tokens=9),
        member(f"{THOUGHT} Ten.", num_tokens=7),
        member(num_tokens=8),
        member(f"{THOUGHT} So ten.", num_tokens=3),
        replace(member(), scores={"accuracy": 0.0}),
    )
    good, dropped = sift([RolloutGroup(PROMPT, (1,), members)], Keep(per_prompt=2))
    kept, over = choose(good, per_prompt=2)
    assert [row.position for row in kept] == [3, 1]
    assert (kept[0].thought, kept[0].answer) == (f"{THOUGHT} So ten.", "10")
    assert dropped + over == {"wrong": 1, "over the cap, or the same as another": 2}


OPEN = replace(PROMPT, verifier="")


def bare(answer: str, num_tokens: int = 1) -> ScoredRollout:
    found = member(num_tokens=num_tokens)
    return replace(found, rollout=replace(found.rollout, text=f" {answer}"))


def test_an_answer_without_a_thought_must_be_in_the_questions_language() -> None:
    keep = Keep(allow_bare=True)
    assert fault_of(OPEN, bare("They have ten legs together."), keep) is None
    assert fault_of(OPEN, bare("它们一共有十条腿，狗有八条，鸟有两条。"), keep) == "bare answer in mixed languages"
    assert fault_of(OPEN, bare("它们一共有十条腿。"), Keep(allow_bare=True, min_language=0)) is None


def test_completions_with_a_thought_fill_the_cap_first() -> None:
    members = (
        bare("They have ten legs."),
        member(num_tokens=9),
        bare("Ten legs it is."),
        member("So ten.", num_tokens=8),
    )
    good, _ = sift([RolloutGroup(OPEN, (1,), members)], Keep(allow_bare=True))
    assert [row.position for row in choose(good, per_prompt=2)[0]] == [3, 1]
    assert [row.position for row in choose(good, per_prompt=3)[0]] == [3, 1, 0]
