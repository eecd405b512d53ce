"""The page of a run of supervised fine-tuning: with a task, with a held-out loss alone, with nothing measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from thinkwright.config.sft import SFTRecipe
from thinkwright.report.page import write_report
from thinkwright.report.table import result_table

STEPS = 30


@pytest.fixture
def tuned_folder(run_folder: Path) -> Path:
    """The RL run's folder told as one of fine-tuning: its evaluations gain a held-out loss."""
    recipe = SFTRecipe(type="sft", model="tiny-base", data=("rows.jsonl",), batch_size=16)
    write_json(run_folder / "recipe.json", recipe.model_dump(mode="json"))
    rows = [{"step": i, "loss/nll": 3.0 - i / 30, "optim/lr": 1e-4, "time/step_seconds": 2.0} for i in range(STEPS)]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, path in enumerate(sorted((run_folder / "eval").glob("step_*.json"))):
        row = json.loads(path.read_text())
        write_json(path, row | {"step": 10 * number, "figures": row["figures"] | {"held_out_loss": 2.5 - number / 2}})
    (run_folder / "eval" / "baselines.json").unlink()
    summarize(run_folder)
    return run_folder


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def summarize(folder: Path, steps: int = STEPS) -> None:
    figures = [json.loads(path.read_text())["figures"] for path in sorted((folder / "eval").glob("step_*.json"))]
    summary = {"status": "finished", "wall_seconds": 120.0, "steps": steps, "planned_steps": STEPS, "seed": 0}
    ends = {"before": figures[0], "after": figures[-1]} if figures else {}
    write_json(folder / "summary.json", summary | ends)


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_a_run_with_a_task_tells_right_answers_and_the_loss(tuned_folder: Path) -> None:
    page = page_of(tuned_folder)
    assert "<h1>A model that imitates worked answers: " in page
    assert "of held-out questions right, in 2 minutes on this machine.</h1>" in page
    assert "In 30 steps of up to 16 questions it read how others" in page
    assert all(f"<h3>{title}</h3>" in page for title in ("Loss", "Held-out accuracy", "Response length", "Form kept"))
    assert "<td>2.500</td><td>1.000</td>" in page
    assert "<dt>Steps done</dt><dd>30 of 30</dd>" in page
    assert "<code>batch_size</code></th><td><code>16</code></td><td>Rows in one step" in page
    assert not [claim for claim in ("GRPO", "by reward", "Training reward", "Not finished") if claim in page]


def test_without_a_task_the_held_out_loss_is_the_result(tuned_folder: Path) -> None:
    for path in (tuned_folder / "eval").glob("step_*.json"):
        row = json.loads(path.read_text())
        loss = {"held_out_loss": row["figures"]["held_out_loss"], "held_out_rows": 40}
        write_json(path, {"step": row["step"], "figures": loss, "samples": []})
    summarize(tuned_folder)
    page = page_of(tuned_folder)
    assert "loss of held-out ones 2.500 \N{RIGHTWARDS ARROW} 1.000 nats per token, in 2 minutes" in page
    assert '<span class="tile-name">Held-out loss</span>' in page
    assert "Right answers" not in page
    lines = result_table(json.loads((tuned_folder / "summary.json").read_text())).splitlines()
    assert [line.split() for line in lines[1:]] == [["held-out", "loss", "2.500", "1.000", "-1.500"]]


def test_with_nothing_held_out_the_training_loss_is_told(tuned_folder: Path) -> None:
    for path in (tuned_folder / "eval").glob("step_*.json"):
        path.unlink()
    summarize(tuned_folder)
    assert "training loss 3.000 \N{RIGHTWARDS ARROW} 2.033 nats per token, nothing held out" in page_of(tuned_folder)
    (tuned_folder / "metrics.jsonl").unlink()
    assert "<h1>Nothing to tell yet: no step of fine-tuning is done.</h1>" in page_of(tuned_folder)


def test_a_run_that_was_stopped_says_so(tuned_folder: Path) -> None:
    summarize(tuned_folder, steps=12)
    rows = (tuned_folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tuned_folder / "metrics.jsonl").write_text("".join(rows[:12]))
    page = page_of(tuned_folder)
    assert "<h1>Not finished (12 of 30 steps), so far: A model that imitates" in page
