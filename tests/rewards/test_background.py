"""Groups are scored while others are sampled, in batches of what waits, and failures come out."""

import threading

import pytest

from thinkwright.errors import GraderError
from thinkwright.rewards import background
from thinkwright.rewards.background import BackgroundScorer


def test_a_group_is_scored_before_the_last_is_handed_over_and_results_keep_the_order() -> None:
    was_scored = threading.Event()

    def score(groups):
        was_scored.set()
        return [("scored", group) for group in groups]

    with BackgroundScorer(score) as scorer:
        scorer.submit(1, "b")
        assert was_scored.wait(10), "the first group was not scored while others were still to come"
        scorer.submit(0, "a")
        assert scorer.results() == [("scored", "a"), ("scored", "b")]


def test_groups_that_wait_are_scored_together() -> None:
    go_on, batches = threading.Event(), []

    def score(groups):
        batches.append(list(groups))
        assert go_on.wait(10)
        return list(groups)

    with BackgroundScorer(score) as scorer:
        scorer.submit(0, "a")
        while not batches:
            pass
        for index, group in enumerate("bcd", start=1):
            scorer.submit(index, group)
        go_on.set()
        assert scorer.results() == list("abcd")
    assert batches == [["a"], ["b", "c", "d"]]


def test_a_failed_grader_is_raised_and_never_a_result() -> None:
    def score(groups):
        raise GraderError("the verifier died")

    with BackgroundScorer(score) as scorer:
        scorer.submit(0, "a")
        with pytest.raises(GraderError, match="the verifier died"):
            scorer.results()
        with pytest.raises(GraderError, match="the verifier died"):
            scorer.submit(1, "b")


def test_a_wait_past_the_deadline_says_what_it_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "DEADLINE_SECONDS", 0.05)
    release = threading.Event()
    with BackgroundScorer(lambda groups: release.wait(10) and []) as scorer:
        scorer.submit(0, "a")
        with pytest.raises(GraderError, match="rewards of the last groups did not come within"):
            scorer.results()
        release.set()
