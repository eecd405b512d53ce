"""Preference pairs as token ids: what is held out, what is left out and why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.preference_files import Row, make_pairs, make_singles, write_pairs
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.errors import DataError
from thinkwright.models.reward_model import Reading, RewardModel, start_reward_model
from thinkwright.training.preference_data import PreferenceData, load_preference_data
from thinkwright.training.sft_data import question_share

Load = Callable[..., PreferenceData]


@pytest.fixture
def load(model_folder: Callable[[str], Path], tmp_path: Path) -> Load:
    """Loads rows by a recipe."""
    folder = str(model_folder("qwen2"))

    def build(rows: list[Row], reads: str = "response", loss: str = "pairwise", **settings: Any) -> PreferenceData:
        path = write_pairs(tmp_path / "pairs.jsonl", rows)
        given = {"type": "reward_model", "model": folder, "data": (str(path),), "reads": reads, "loss": loss}
        recipe = RewardModelRecipe.model_validate({**given, "max_tokens": 1024, "held_out_share": 0.3, **settings})
        return load_preference_data(recipe, make_model(folder, reads, loss))

    return build


def make_model(folder: str, reads: str = "response", loss: str = "pairwise") -> RewardModel:
    reading = Reading("think_summary", reads, loss)
    return start_reward_model(folder, reading, device=torch.device("cpu"), dtype=torch.float32, seed=0)


def test_a_row_is_what_the_model_is_shown_later(load: Load, model_folder: Callable[[str], Path]) -> None:
    [row] = [pair for pair in make_pairs(12) if pair["question"] == "Is 1 + 1 even?"]
    data = load(make_pairs(12))
    model = make_model(str(model_folder("qwen2")))
    sides = [
        model.encode([(row["question"], row.get(f"{side}_thought"), row[side])])[0] for side in ("chosen", "rejected")
    ]
    wanted = (sides[0][0], (sides[0][1][0], sides[1][1][0]))
    assert wanted in [pair.encoded for pair in (*data.training, *data.held_out)]


def test_the_held_out_questions_are_those_of_a_digest_whatever_stands_beside_them(load: Load) -> None:
    rows = make_pairs(40)
    data, twice = load(rows), load([*rows, *(row | {"question": row["question"].upper()} for row in rows)])
    wanted = sum(question_share(row["question"]) < 0.3 for row in rows)
    assert 3 < wanted < 25
    assert (len(data.held_out), len(data.training)) == (wanted, 40 - wanted)
    assert (len(twice.held_out), len(twice.training)) == (2 * wanted, 80 - 2 * wanted)
    assert data.report["first_chosen"] == 0.75
    assert data.digest() == load(rows).digest() != twice.digest()


def test_pairs_that_read_the_same_and_long_ones_are_left_out_and_counted(load: Load) -> None:
    rows = make_pairs(30)
    same = {"question": "Is it?", "chosen": "yes", "rejected": "yes", "rejected_thought": "hm"}
    long = {"question": "Is it so?", "chosen": "yes", "rejected": "no " * 400}
    data = load([*rows, same, long], "summary", max_tokens=400)
    assert data.report["left_out"] == {"both sides read the same": 1, "over max_tokens": 1, "surplus of one length": 0}
    assert data.report["pairs"] == 32 == data.report["used"] + data.report["held_out"] + 2
    assert "data: 1 pairs left out, over max_tokens" in data.notes()
    # With the thought they differ.
    assert load([*rows, same], "response").report["left_out"]["both sides read the same"] == 0


def test_max_tokens_counts_prompt_and_longer_response_exactly(load: Load) -> None:
    rows = make_pairs(12)
    sizes = [
        len(row.encoded[0]) + max(map(len, row.encoded[1]))
        for part in ("training", "held_out")
        for row in getattr(load(rows), part)
    ]
    assert load(rows, max_tokens=max(sizes)).report["left_out"]["over max_tokens"] == 0
    assert load(rows, max_tokens=max(sizes) - 1).report["left_out"]["over max_tokens"] == sizes.count(max(sizes))


def test_lengths_are_balanced_by_leaving_out_the_surplus_of_training_pairs(load: Load) -> None:
    rows = make_pairs(40)
    for row in rows[:20]:
        row["chosen"] = "well well well well yes"
    plain, balanced = load(rows), load(rows, balance_lengths=True)
    kinds = [row.is_longer_chosen() for row in balanced.training]
    assert kinds.count(True) == kinds.count(False) > 0
    surplus = balanced.report["left_out"]["surplus of one length"]
    assert surplus == len(plain.training) - len(balanced.training) > 0
    assert balanced.held_out == plain.held_out
    before = [row.is_longer_chosen() for row in plain.training]
    assert kinds.count(False) == min(before.count(True), before.count(False))
    assert kinds.count(None) == before.count(None)


def test_single_responses_take_their_sides(load: Load) -> None:
    data = load(make_singles(40), loss="pointwise")
    rows = (*data.training, *data.held_out)
    assert [sum(row.has_chosen for row in rows), sum(row.has_rejected for row in rows)] == [20, 20]
    assert all(len(row.encoded[1]) == 1 for row in rows)
    with pytest.raises(DataError, match=r"pairs.jsonl:1: has one side only; .*loss = pointwise"):
        load(make_singles(40))


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        ([], {}, "holds no pair"),
        (
            [row | {"rejected": None} for row in make_pairs(5)],
            {"loss": "pointwise"},
            "one-sided: no row has a rejected",
        ),
        (make_pairs(30), {"max_tokens": 20}, "no pair is left to learn from .*raise max_tokens"),
        (make_pairs(30), {"held_out_share": 1e-9}, "no pair is left held out"),
        (make_pairs(30), {"held_out_share": 1 - 1e-9}, "no pair is left to learn from .*change held_out_share"),
    ],
)
def test_nothing_to_learn_from_is_told(rows: list[Row], settings: dict[str, Any], words: str, load: Load) -> None:
    with pytest.raises(DataError, match=words):
        load(rows, **settings)
