"""Measured difficulty: rows that tasks can filter by, the same whether or not the measurement was interrupted."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model_folders import write_model_folder
from thinkwright import cli
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.tasks import Columns, Filters, MixturePart, MixtureTask, RowsTask, TinyWorldTask
from thinkwright.errors import DataError
from thinkwright.evaluation import difficulty
from thinkwright.evaluation.difficulty import STEP, measure_difficulty
from thinkwright.models.policy import Policy, load_policy
from thinkwright.rewards.score import SampledGroup
from thinkwright.rollout.engine import SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.tasks.exclusion import training_rows
from thinkwright.tasks.prompts import load_task
from thinkwright.types import Prompt, RolloutGroup, ScoredRollout

TINY = TinyWorldTask(type="tiny_world")
SETTINGS = SamplingSettings(4, 6, 1.0, 0, STEP)


@pytest.fixture(scope="module")
def qwen2(model_folder: Callable[[str], Path]) -> Policy:
    return load_policy(str(model_folder("qwen2")), device=torch.device("cpu"), dtype=torch.float32)


def prompts(count: int = 10) -> list[Prompt]:
    text = TEMPLATES["r1_zero"].prompt
    return [
        Prompt(f"training/row_{i}", f"{i} + 1?", text(f"{i} + 1?"), "number", "1", "1", "r1_zero", "rows", 1, "en")
        for i in range(count)
    ]


def score(groups: Sequence[SampledGroup]) -> list[RolloutGroup]:
    """Right if the first token is even; row 3 cannot be graded."""

    def scores(prompt: Prompt, first: int) -> dict[str, float]:
        return {} if prompt.prompt_id == "training/row_3" else {"accuracy": float(first % 2 == 0)}

    return [
        RolloutGroup(p, ids, tuple(ScoredRollout(r, scores(p, r.token_ids[0]), 0.0) for r in rollouts))
        for p, ids, rollouts in groups
    ]


def measured(policy: Policy, out: Path, stop_after: int | None = None, **changes: Any) -> list[dict[str, Any]]:
    arguments = {"settings": SETTINGS, "model": "qwen2", **changes}
    counts = measure_difficulty(NativeEngine(policy, 8), policy, prompts(), score=score, out=out, **arguments)
    for count in counts:
        if count == stop_after:
            break
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_prompt_that_can_be_graded_has_a_row(qwen2: Policy, tmp_path: Path) -> None:
    rows = measured(qwen2, tmp_path / "rates.jsonl")
    assert [row["prompt_id"] for row in rows] == [f"training/row_{i}" for i in range(10) if i != 3]
    assert all(row["pass_rate"] in (0.0, 0.25, 0.5, 0.75, 1.0) and row["samples"] == 4 for row in rows)
    assert len({row["pass_rate"] for row in rows}) > 1
    assert all(1 <= row["mean_tokens"] <= 6 for row in rows)


@pytest.mark.parametrize("stop", [1, 5, 9])
def test_an_interrupted_measurement_goes_on_and_samples_nothing_twice(
    qwen2: Policy, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(difficulty, "PROMPTS_PER_CALL", 2)
    whole = measured(qwen2, tmp_path / "whole.jsonl")
    out = tmp_path / "rates.jsonl"
    measured(qwen2, out, stop_after=stop)
    with open(out, "a") as file:
        file.write('{"prompt_id": "training/row_8", "pass')  # as a crash leaves it
    assert measured(qwen2, out) == whole
    before = out.read_bytes()
    counts = list(measure_difficulty(NativeEngine(qwen2, 8), qwen2, prompts()[4:], SETTINGS, score, "qwen2", out))
    assert counts == [6], "all were there already"
    assert out.read_bytes() == before


def test_rows_of_another_model_or_sample_count_or_another_file_are_refused(qwen2: Policy, tmp_path: Path) -> None:
    out = tmp_path / "rates.jsonl"
    measured(qwen2, out)
    with pytest.raises(DataError, match="measured with model = qwen2, not other; give another --out"):
        measured(qwen2, out, model="other")
    with pytest.raises(DataError, match=r"--samples = 4, not 5 and rollout\.max_response_tokens = 6, not 7"):
        measured(qwen2, out, settings=SamplingSettings(5, 7, 1.0, 0, STEP))
    with pytest.raises(DataError, match=r"rollout\.temperature = 1\.0, not 0\.5"):
        measured(qwen2, out, settings=SamplingSettings(4, 6, 0.5, 0, STEP))
    boxed = [replace(prompt, template="boxed") for prompt in prompts()]
    with pytest.raises(DataError, match="template = r1_zero, not boxed"):
        list(measure_difficulty(NativeEngine(qwen2, 8), qwen2, boxed, SETTINGS, score, "qwen2", out))


@pytest.mark.parametrize("content", [b'{"question": "?"}\n', b"my notes", b"a\nb", b'{"question": "?"}', b"\xff\n?"])
def test_another_file_is_refused_and_left_as_it_is(qwen2: Policy, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"other\.jsonl:1: not a row"):
        measured(qwen2, tmp_path / "other.jsonl")
    assert (tmp_path / "other.jsonl").read_bytes() == content


def test_a_first_row_that_was_cut_off_is_measured_again_and_a_folder_is_refused(qwen2: Policy, tmp_path: Path) -> None:
    (tmp_path / "rates.jsonl").write_bytes(b'{"prompt_id": "trai')
    assert len(measured(qwen2, tmp_path / "rates.jsonl")) == 9
    with pytest.raises(DataError, match=r"cannot be read .*give a file as --out"):
        measured(qwen2, tmp_path)


def test_rows_of_one_file_are_not_taken_for_those_of_another(qwen2: Policy, tmp_path: Path) -> None:
    out = tmp_path / "rates.jsonl"
    measured(qwen2, out)
    others = [replace(prompt, question=f"Other: {prompt.question}") for prompt in prompts()]
    counts = list(measure_difficulty(NativeEngine(qwen2, 8), qwen2, others, SETTINGS, score, "qwen2", out))
    assert counts[0] == 0
    assert len(out.read_text().splitlines()) == 18


def test_the_command_measures_a_recipe_and_its_task_can_be_filtered_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model_folder(tmp_path / "model", "qwen2")
    for part, count in (("train", 12), ("test", 3)):
        rows = [{"question": f"What is {part} {i} + {i}?", "answer": str(2 * i)} for i in range(count)]
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'type = "rl"\nmodel = "{model}"\nsteps = 1\n[task]\ntype = "rows"\npath = "{tmp_path}/train.jsonl"\n'
        f'held_out_path = "{tmp_path}/test.jsonl"\n[rollout]\nmax_response_tokens = 8\nprompts_per_step = 4\n'
    )
    out = tmp_path / "rates.jsonl"
    assert cli.main(["difficulty", str(recipe), "machine.dtype=float32", "--samples", "2", "--out", str(out)]) == 0
    assert "12 prompts" in capsys.readouterr().out
    assert len(out.read_text().splitlines()) == 12
    settings = RowsTask(
        type="rows",
        path=f"{tmp_path}/train.jsonl",
        held_out_path=f"{tmp_path}/test.jsonl",
        columns=Columns(),
        filters=Filters(pass_rates=str(out), max_pass_rate=0.5),
    )
    assert len(load_task(settings).all_prompts()) == 12 + 3
    mixture = MixtureTask(type="mixture", parts=(MixturePart(task=TINY), MixturePart(task=settings)))
    assert len(training_rows(load_task(mixture))) == 12, "ids differ there, questions do not"
    other = settings.model_copy(update={"path": f"{tmp_path}/test.jsonl", "held_out_path": f"{tmp_path}/train.jsonl"})
    with pytest.raises(DataError, match="not measured; measure this task's rows"):
        load_task(other)
    assert cli.main(["difficulty", "tiny/r1-zero", "--out", str(tmp_path / "none")]) == 1
    assert "made anew for every step" in capsys.readouterr().err


@pytest.mark.parametrize("samples", ["0", "-1", "x"])
def test_a_number_of_samples_that_is_none_is_refused(samples: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["difficulty", "tiny/r1-zero", "--samples", samples, "--out", "x"])
    assert "--samples" in capsys.readouterr().err
