"""The curve of accuracy against compute, on samples whose truth is known."""

import math
from random import Random
from typing import Any

import pytest

from thinkwright.evaluation.figures import Sample
from thinkwright.evaluation.strategies import Strategy
from thinkwright.evaluation.test_time import curve_of


def samples(
    chance: float, tokens: int, *, num_questions: int = 60, num_samples: int = 8, seed: int = 0
) -> list[Sample]:
    """Wrong answers differ from each other, so that a vote helps."""
    rng = Random(f"{seed}/{tokens}")
    rows: list[Sample] = []
    for i in range(num_questions):
        for _ in range(num_samples):
            is_correct = rng.random() < chance
            rows.append(
                {
                    "prompt_id": str(i),
                    "level": 1 + i % 2,
                    "verifier": "number",
                    "canonical": "7" if is_correct else str(rng.random()),
                    "is_correct": is_correct,
                    "response_tokens": tokens + i % 2,
                }
            )
    return rows


def point(curve: dict[str, Any], label: str) -> dict[str, Any]:
    return next(found for found in curve["points"] if found["label"] == label)


def test_points_hold_cost_level_and_interval() -> None:
    curve = curve_of({Strategy(): samples(0.5, 40)})
    labels = [found["label"] for found in curve["points"]]
    assert labels == ["free", "free, vote of 4", "free, vote of 8"]
    single, vote = point(curve, "free"), point(curve, "free, vote of 8")
    assert single["mean_tokens"] == 40.5
    assert vote["mean_tokens"] == 8 * 40.5
    assert vote["strategy"] == "free+vote"
    assert single["low"] < single["accuracy"] < single["high"] < vote["low"]
    assert single["by_level"]["1"]["mean_tokens"] == 40
    assert set(single["by_level"]) == {"1", "2"}
    assert curve["fit"] is None  # one budget alone


def test_the_frontier_is_what_nothing_cheaper_beats() -> None:
    curve = curve_of({Strategy(): samples(0.6, 50), Strategy("wait", 1): samples(0.4, 80)})
    assert point(curve, "free")["on_frontier"]
    assert not point(curve, "wait 1")["on_frontier"]
    best = -1.0
    for found in curve["points"]:
        assert found["on_frontier"] == (found["accuracy"] > best)
        best = max(best, found["accuracy"])


def test_a_reward_model_makes_points_of_its_own() -> None:
    rows = samples(0.5, 40)
    for row in rows:
        row["preference"] = float(row["is_correct"])
    curve = curve_of({Strategy(): rows})
    assert point(curve, "free, best of 8")["accuracy"] > 0.97


def test_the_fit_finds_the_plateau_and_where_the_rise_ends() -> None:
    def truth(tokens: int) -> float:
        return 0.8 - 0.7 * math.exp(-tokens / 30)

    budgets = (8, 16, 32, 64, 128, 256)
    curves = [
        curve_of(
            {Strategy("budget", b): samples(truth(b), b, num_questions=200, num_samples=4, seed=seed) for b in budgets}
        )
        for seed in range(4)
    ]
    hits = 0
    for curve in curves:
        fit = curve["fit"]
        assert fit["plateau"] == pytest.approx(0.8, abs=0.05)
        assert fit["stops_rising_at"] in (128.5, 256.5)
        hits += fit["plateau_low"] <= 0.8 <= fit["plateau_high"]
    assert hits >= 3


def test_a_fit_of_a_flat_curve_stops_at_the_first_budget() -> None:
    same = {Strategy("budget", b): samples(0.5, b) for b in (8, 16, 32, 64)}
    assert curve_of(same)["fit"]["stops_rising_at"] in (8.5, 16.5)


def test_a_plateau_is_no_accuracy_above_one() -> None:
    """Four points on a straight line would let the exponential rise without end."""
    rising = {Strategy("budget", b): samples(b / 80, b, num_questions=12) for b in (20, 40, 60, 78)}
    fit = curve_of(rising)["fit"]
    assert fit["plateau_low"] <= fit["plateau"] <= 1
    assert fit["plateau_high"] <= 1
