"""Scores equal those of transformers, whatever stands beside them; folders survive saving, or are refused."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.model_folders import KINDS
from thinkwright.errors import ModelError
from thinkwright.models.reward_model import (
    READING_FILE,
    Item,
    Reading,
    RewardModel,
    load_reward_model,
    start_reward_model,
)

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
ITEMS: list[Item] = [
    ("What is 1 + 1?", "one and one", "It is 2."),
    ("What is 1 + 1?", None, "It is 3, I guess, or maybe more than that."),
    ("Hi!", "a greeting " * 9, "Hello."),
    ("一步一步来", None, "计"),
]


def start(folder: Path, reads: str = "response", loss: str = "pairwise") -> RewardModel:
    return start_reward_model(str(folder), Reading("think_summary", reads, loss), seed=3, **CPU)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def saved(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained reward model."""
    folder = tmp_path_factory.mktemp("reward") / "model"
    start(model_folder("qwen2")).save(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reads", ["summary", "response"])
def test_scores_equal_transformers_on_the_saved_folder(
    kind: str, reads: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = start(model_folder(kind), reads)
    model.save(tmp_path / "model")
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    rows = [[*prompt, *response] for prompt, [response] in model.encode(ITEMS)]
    assert len(set(map(len, rows))) > 2
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt", padding_side="right")
    with torch.no_grad():
        wanted = theirs(**batch).logits[:, 0].tolist()
    assert len(set(wanted)) == len(ITEMS)
    assert model.scores(ITEMS) == pytest.approx(wanted, abs=1e-5)
    loaded = load_reward_model(tmp_path / "model", **CPU)  # type: ignore[arg-type]
    assert loaded.scores(ITEMS) == model.scores(ITEMS)
    for item, score in zip(ITEMS, wanted, strict=True):
        assert model.scores([item]) == pytest.approx([score], abs=1e-5)


def test_a_thought_is_read_only_by_a_model_that_reads_responses(model_folder: Callable[[str], Path]) -> None:
    question, _, answer = ITEMS[0]
    others = [(question, thought, answer) for thought in (None, "one and one", "two")]
    assert len(set(start(model_folder("qwen2"), "response").scores(others))) == 3
    assert len({round(score, 5) for score in start(model_folder("qwen2"), "summary").scores(others)}) == 1


def test_the_head_is_told_by_the_seed_and_the_body_is_the_models(model_folder: Callable[[str], Path]) -> None:
    reading = Reading("think_summary", "summary", "pairwise")
    heads = [
        start_reward_model(str(model_folder("qwen2")), reading, seed=seed, **CPU).policy.model  # type: ignore[arg-type]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(heads[0].score.weight, heads[1].score.weight)
    assert not torch.equal(heads[0].score.weight, heads[2].score.weight)
    body = load_file(model_folder("qwen2") / "model.safetensors")
    assert torch.equal(heads[0].model.embed_tokens.weight, body["model.embed_tokens.weight"])


def test_rewards_are_probabilities_or_places_among_the_held_out() -> None:
    single = Reading("think_summary", "response", "pointwise", mean=5.0, deviation=9.0)
    assert single.reward(0.4) == pytest.approx(1 / (1 + math.exp(-0.4)))
    pairs = Reading("think_summary", "summary", "pairwise", mean=5.0, deviation=2.0)
    assert (pairs.reward(5.0), pairs.reward(7.0)) == (0.5, pytest.approx(1 / (1 + math.exp(-1))))
    assert 0 <= pairs.reward(-1e9) < pairs.reward(1e9) <= 1


def test_reading_is_saved_and_read_again(saved: Path, tmp_path: Path) -> None:
    loaded = load_reward_model(saved, **CPU)  # type: ignore[arg-type]
    told = Reading("think_summary", "response", "pairwise", mean=1.5, deviation=0.25)
    RewardModel(loaded.policy, told).save(tmp_path / "model")
    assert load_reward_model(tmp_path / "model", **CPU).reading == told  # type: ignore[arg-type]


def test_a_response_over_the_context_is_refused(saved: Path) -> None:
    model = load_reward_model(saved, **CPU)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"over the reward model's context of 1024; .*max_response_tokens"):
        model.scores([("Hi!", None, "no " * 2000)])
    items: list[Item] = [("Hi!", None, "no " * 2000), ("Hi!", None, "Hello.")]
    assert model.rewards(items) == [None, model.rewards(items[1:])[0]], "in a run it is worth nothing"


def _without_head(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: w for name, w in weights.items() if name != "score.weight"}, folder / "model.safetensors")


def _two_labels(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "a", "1": "b"}
    config["label2id"] = {"a": 0, "b": 1}
    (folder / "config.json").write_text(json.dumps(config))


def _change_reading(folder: Path, **changes: object) -> None:
    path = folder / READING_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / READING_FILE).unlink(), "no reward model, reward_model.json cannot be read"),
        (lambda folder: (folder / READING_FILE).write_text("{"), "no reward model"),
        (lambda folder: (folder / READING_FILE).write_text('{"reeds": 1}'), "no reward model"),
        (lambda folder: (folder / READING_FILE).write_text("[]"), "no reward model"),
        (lambda folder: _change_reading(folder, template="chatml"), "template is 'chatml', none of think_summary"),
        (lambda folder: _change_reading(folder, template="boxed"), "template is 'boxed', none of think_summary"),
        (lambda folder: _change_reading(folder, reads="all"), "reads is 'all', none of summary, response"),
        (lambda folder: _change_reading(folder, loss=None), "loss is None, none of pairwise, pointwise"),
        (lambda folder: _change_reading(folder, deviation=0), "deviation 0 are no place and width of scores"),
        (lambda folder: _change_reading(folder, mean="x"), "no reward model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half"), "cannot be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded as a reward model"),
        (_without_head, "weights are missing"),
        (_two_labels, "cannot be loaded|another shape"),
    ],
)
def test_a_damaged_folder_is_refused(damage: Callable[[Path], object], words: str, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(ModelError, match=words) as caught:
        load_reward_model(tmp_path / "model", **CPU)  # type: ignore[arg-type]
    assert str(tmp_path / "model") in str(caught.value)


def test_a_language_model_is_no_reward_model(model_folder: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="give the model folder of a reward_model stage"):
        load_reward_model(model_folder("qwen2"), **CPU)  # type: ignore[arg-type]
