"""Rows with settings of their own are drawn as they would be alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.rollout import sampling
from thinkwright.rollout.engine import SamplingSettings
from thinkwright.rollout.row_sampling import MAX_ALTERNATIVES, RowSettings, draw_rows, likeliest_tokens
from thinkwright.rollout.sampling import draw_tokens

VOCABULARY = 50
ROW = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 1e-6, 0.01, 0.6, 1.0, 1.7, 100.0]),
        "top_p": st.sampled_from([1e-30, 0.3, 0.95, 1.0]),
        "top_k": st.sampled_from([0, 1, 5, VOCABULARY]),
        "min_p": st.sampled_from([0.0, 0.05, 1.0]),
        "uniform": st.floats(0, 1 - 2**-24, width=32),
        "forced": st.sampled_from([-1, -1, -1, 3]),
    }
)


def settings_of(rows: list[dict]) -> RowSettings:
    made = RowSettings.uncut(len(rows))
    for i, row in enumerate(rows):
        made.put(i, row["temperature"], row["top_p"], row["top_k"], row["min_p"])
    return made


def tensors_of(rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([row["uniform"] for row in rows]), torch.tensor([row["forced"] for row in rows])


@given(st.lists(ROW, min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_row_is_drawn_to_the_bit_as_it_is_alone(rows: list[dict], seed: int) -> None:
    logits = torch.randn(len(rows), VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 4
    uniform, forced = tensors_of(rows)
    together = vars(draw_rows(logits, uniform, settings_of(rows), forced))
    for i, row in enumerate(rows):
        alone = vars(draw_rows(logits[i : i + 1], uniform[i : i + 1], settings_of([row]), forced[i : i + 1]))
        assert all(torch.equal(together[name][i : i + 1], alone[name]) for name in together)


@given(st.lists(ROW, min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_row_is_drawn_as_a_call_with_its_settings_draws_it(rows: list[dict], seed: int) -> None:
    logits = torch.randn(len(rows), VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 4
    uniform, forced = tensors_of(rows)
    together = draw_rows(logits, uniform, settings_of(rows), forced)
    untempered = torch.log_softmax(logits, -1)
    for i, row in enumerate(rows):
        token = int(together.tokens[i])
        assert together.untempered_logprobs[i] == untempered[i, token]
        if row["forced"] >= 0 or row["temperature"] < 1e-5:
            assert token == (row["forced"] if row["forced"] >= 0 else int(logits[i].argmax()))
            assert together.logprobs[i] == 0
            continue
        cut = {name: row[name] for name in ("temperature", "top_k", "min_p")} | {"top_p": max(row["top_p"], 1e-6)}
        call = SamplingSettings(1, 1, seed=0, step=0, **cut)
        expected = draw_tokens(logits[i : i + 1], uniform[i : i + 1], call, None)
        assert token == expected.tokens.item()
        assert together.logprobs[i] == expected.logprobs[0]
        torch.testing.assert_close(together.untempered_logprobs[i], expected.untempered_logprobs[0])


def test_tiles_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"temperature": 0.8, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "uniform": 0.4, "forced": -1}
    rows = [row | {"top_k": i % 3, "forced": 7 if i == 4 else -1, "temperature": i / 3} for i in range(7)]
    logits, (uniform, forced) = torch.randn(7, VOCABULARY), tensors_of(rows)
    whole = draw_rows(logits, uniform, settings_of(rows), forced)
    monkeypatch.setattr(sampling, "TILE_ELEMENTS", 2 * VOCABULARY)
    tiled = draw_rows(logits, uniform, settings_of(rows), forced)
    assert all(map(torch.equal, vars(tiled).values(), vars(whole).values()))


def test_the_likeliest_tokens_come_in_order_with_their_logprobs() -> None:
    logits = torch.randn(3, VOCABULARY)
    tokens, logprobs = likeliest_tokens(logits)
    expected = torch.log_softmax(logits, -1).sort(dim=-1, descending=True)
    assert torch.equal(tokens, expected.indices[:, :MAX_ALTERNATIVES])
    assert torch.equal(logprobs, expected.values[:, :MAX_ALTERNATIVES])
    assert likeliest_tokens(logits[:, :4])[0].shape == (3, 4)


def test_a_row_set_anew_forgets_what_it_was() -> None:
    rows = RowSettings.uncut(2)
    rows.put(1, 0.5, 0.9, 3, 0.1)
    assert rows.is_cut.tolist() == [False, True]
    rows.put(1, 1.0, 1.0, 0, 0.0)
    assert rows.is_cut.tolist() == [False, False]
    assert np.array_equal(rows.at(np.array([1])).temperature, [1.0])
