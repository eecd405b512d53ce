"""From stored completions to figures: graded, counted, chosen among."""

import pytest

from thinkwright.errors import GraderError
from thinkwright.evaluation.figures import figures_of
from thinkwright.evaluation.sample_store import Completion
from thinkwright.evaluation.scoring import prefer, score_completions
from thinkwright.rewards.pool import WorkerPool
from thinkwright.types import Prompt

PROMPT = Prompt("a", "3+4?", "t", "number", "7", "7", "r1_zero", "sums", 1, "en")


def answered(answer: str, num_tokens: int = 10, num_thinking: int | None = None) -> Completion:
    text = f"<think> so it is </think> <answer>{answer}</answer>"
    return Completion(text, "stop", num_tokens, num_thinking_tokens=num_thinking)


def test_rows_have_the_tokens_that_engine_and_server_counted(pool: WorkerPool) -> None:
    completions = [answered("7", 10), answered("8", 30, num_thinking=21), Completion("<think> cut", "length", 40)]
    rows, not_graded = score_completions([PROMPT], [completions], pool, count_tokens=lambda text: len(text.split()))
    assert not_graded == []
    assert [row["is_correct"] for row in rows] == [True, False, False]
    assert [row["response_tokens"] for row in rows] == [10, 30, 40]
    assert [row["thinking_tokens"] for row in rows] == [3, 21, 1]
    figures = figures_of(rows)
    assert figures["mean_thinking_tokens"] == pytest.approx(25 / 3)
    assert figures["mean_answer_tokens"] == pytest.approx(80 / 3 - 25 / 3)
    assert figures["no_answer_rate"] == pytest.approx(1 / 3)


def test_thoughts_that_nobody_counted_have_no_figure(pool: WorkerPool) -> None:
    rows, _ = score_completions([PROMPT], [[answered("7")]], pool)
    assert "mean_thinking_tokens" not in figures_of(rows)


def test_the_best_of_k_is_the_one_that_the_reward_model_prefers(pool: WorkerPool) -> None:
    completions = [answered("7"), answered("8"), answered("9"), Completion("<think> none", "stop", 3)]
    rows, _ = score_completions([PROMPT], [completions], pool)
    seen: list[tuple[str, str | None, str]] = []

    def judge(items: object) -> list[float | None]:
        assert isinstance(items, list)
        seen.extend(items)
        return [0.9, 0.2, None]

    prefer(rows, judge)
    assert seen[0] == ("3+4?", "so it is", "7")
    assert [row["preference"] for row in rows] == [0.9, 0.2, None, None]
    figures = figures_of(rows)
    assert figures["best_of_4"] == 1.0
    assert figures["best_of_2"] == pytest.approx(3 / 6)  # the right one is in half of the pairs


def test_a_gold_that_no_grader_can_read_is_an_error_not_a_zero(pool: WorkerPool) -> None:
    broken = Prompt("a", "3+4?", "t", "number", "seven", "7", "r1_zero", "sums", 1, "en")
    with pytest.raises(GraderError, match="none of the completions could be graded"):
        score_completions([broken], [[answered("7")]], pool)
