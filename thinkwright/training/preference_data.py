"""Preference pairs as token ids, sorted into training, held-out and left out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.errors import DataError
from thinkwright.evaluation.preference_figures import position_bias
from thinkwright.models.reward_model import Encoded, RewardModel
from thinkwright.tasks.preferences import SIDES, PreferencePair, read_pairs
from thinkwright.training.sft_data import question_share


@dataclass(frozen=True)
class PairRow:
    """A pair ready to be learned from."""

    encoded: Encoded
    """Prompt and the responses there are, the chosen one first."""
    has_chosen: bool
    has_rejected: bool

    @property
    def num_tokens(self) -> int:
        """In a packed row."""
        return len(self.encoded[0]) + sum(map(len, self.encoded[1]))

    def is_longer_chosen(self) -> bool | None:
        """Whether the longer response is the chosen one; None of a single one, or if they are as long."""
        if not (self.has_chosen and self.has_rejected):
            return None
        chosen, rejected = map(len, self.encoded[1])
        return None if chosen == rejected else chosen > rejected


@dataclass(frozen=True)
class PreferenceData:
    """The pairs of all files, and what was left out."""

    training: tuple[PairRow, ...]
    held_out: tuple[PairRow, ...]
    report: dict[str, Any]

    def digest(self) -> str:
        """Of all token ids."""
        rows = [(row.encoded, row.has_chosen, row.has_rejected) for row in (*self.training, *self.held_out)]
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]

    def notes(self) -> list[str]:
        """What a person should know, a line each."""
        report = self.report
        lines = [f"data: {report['pairs']:,} pairs, {report['used']:,} to learn from, {report['held_out']:,} held out"]
        lines += [f"data: {count:,} pairs left out, {why}" for why, count in report["left_out"].items() if count]
        return lines


def load_preference_data(recipe: RewardModelRecipe, model: RewardModel) -> PreferenceData:
    """Read, tokenize and sort the pairs. Raises DataError as ``read_pairs``, and if none is left on one side."""
    is_pairwise = recipe.loss == "pairwise"
    pairs = read_pairs(recipe.data, both_sides=is_pairwise)
    training: list[PairRow] = []
    held_out: list[PairRow] = []
    same = long = 0
    for pair in pairs:
        row = _encode(pair, model)
        if len(set(row.encoded[1])) < len(row.encoded[1]):  # they differ in the thought, which is not read
            same += 1
        elif any(len(row.encoded[0]) + len(response) > recipe.max_tokens for response in row.encoded[1]):
            long += 1
        else:
            (held_out if question_share(pair.question) < recipe.held_out_share else training).append(row)
    surplus = 0
    if recipe.balance_lengths:
        training, surplus = _balanced(training)
    report: dict[str, Any] = {
        "sources": list(recipe.data),
        "pairs": len(pairs),
        "used": len(training),
        "held_out": len(held_out),
        "left_out": {"both sides read the same": same, "over max_tokens": long, "surplus of one length": surplus},
        **position_bias([pair.first for pair in pairs if pair.first is not None]),
    }
    for name, rows in (("to learn from", training), ("held out", held_out)):
        if not rows:
            raise DataError(
                f"{', '.join(recipe.data)}: no pair is left {name} ({report['left_out']}); give more pairs, raise "
                "max_tokens, or change held_out_share"
            )
    return PreferenceData(tuple(training), tuple(held_out), report)


def _encode(pair: PreferencePair, model: RewardModel) -> PairRow:
    prompt: tuple[int, ...] = ()
    responses: list[tuple[int, ...]] = []
    for side in SIDES:
        response = pair.side(side)
        if response is not None:
            texts = model.reading.texts((pair.question, response.thought, response.answer))
            prompt, ids = (model.policy.encode(text) for text in texts)
            responses.append(ids)
    return PairRow((prompt, tuple(responses)), pair.chosen is not None, pair.rejected is not None)


def _balanced(rows: Sequence[PairRow]) -> tuple[list[PairRow], int]:
    """Without the last pairs of the kind of which there are more; and how many these were."""
    counts = {is_longer: sum(row.is_longer_chosen() is is_longer for row in rows) for is_longer in (True, False)}
    limit, left = min(counts.values()), dict.fromkeys((True, False), min(counts.values()))
    kept: list[PairRow] = []
    for row in rows:
        kind = row.is_longer_chosen()
        if kind is not None:
            if not left[kind]:
                continue
            left[kind] -= 1
        kept.append(row)
    return kept, sum(counts.values()) - 2 * limit
