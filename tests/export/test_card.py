"""The model card says what the run folder says, and no more."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from tests.export.run_folders import samples, write, write_pipeline, write_run
from thinkwright.evaluation.estimators import estimate_share
from thinkwright.export.card import card_text, evaluation_results
from thinkwright.export.huggingface import make_card
from thinkwright.export.run_facts import RunFacts, read_run
from thinkwright.export.subject import find_subject, load_subject
from thinkwright.pipeline.outside import content_digest


def card_of(model: Path, license: str | None = None, template: str | None = None) -> Any:
    source, config = find_subject(str(model))
    return make_card(load_subject(source, config, None, template), "transformers", license)


def head_of(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---")[1])


@pytest.fixture
def pipeline(model_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    write_pipeline(tmp_path / "r1", model_folder("qwen2"))
    return tmp_path / "r1"


def test_a_pipelines_model_tells_its_stages_and_figures(pipeline: Path) -> None:
    text = card_text(card_of(pipeline))
    assert "1. zero: reinforcement learning (1.0 minutes)\n2. all: reinforcement learning (59.0 minutes)" in text
    assert "unused" not in text
    assert "Command: `thinkwright run tiny/r1 seed=0`" in text
    assert hashlib.sha256((pipeline / "stages/03-all/recipe.json").read_bytes()).hexdigest()[:16] in text
    assert "2 cores of AMD EPYC, 24 GiB, weights in float32, 1.00 hours in all" in text
    assert "Learned from: questions of the tiny world (arithmetic, facts); gsm8k (openai/gsm8k)." in text
    by_question = estimate_share([1.0, 0.5, 0.0])
    interval = f"{100 * by_question.low:.1f} to {100 * by_question.high:.1f} %"
    assert (
        f"| all questions, at the end of its training | 50.0 % | {interval} | n = 3 questions, 2 samples each" in text
    )
    assert "| - gsm8k | 75.0 % |" in text
    assert "| all questions, beside other models, as R1 final | 100.0 % |" in text
    assert "temperature 0.6, at most 96 tokens" in text
    assert "replies in the trained form 75.0 %" not in text  # of another evaluation than the last
    assert "/home/someone" not in text


def test_the_head_is_what_the_hub_reads(pipeline: Path) -> None:
    assert head_of(card_text(card_of(pipeline))) == {
        "license": "apache-2.0",
        "language": ["en", "zh"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["reasoning", "thinkwright", "grpo", "r1"],
        "datasets": ["openai/gsm8k"],
        "metrics": ["accuracy"],
    }


def test_scores_on_sets_of_the_hub_stand_in_files(pipeline: Path) -> None:
    files = evaluation_results(card_of(pipeline))
    assert list(files) == ["gsm8k.yaml"]
    (entry,) = parse_eval_result_entries(yaml.safe_load(files["gsm8k.yaml"]))
    assert (entry.dataset_id, entry.task_id) == ("openai/gsm8k", "gsm8k")
    assert (entry.value, entry.date) == (75.0, "2026-11-28")
    assert "95 % interval" in str(entry.notes)


def test_a_base_of_the_hub_is_named_and_its_license_left_open(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = {"type": "rl", "model": "Qwen/Qwen2.5-0.5B", "template": "r1_zero", "task": {"name": "gsm8k"}}
    run = write_run(tmp_path / "run", model_folder("qwen2"), recipe, samples({"gsm8k/1": [True]}), 60.0)
    text = card_text(card_of(run))
    assert head_of(text)["base_model"] == "Qwen/Qwen2.5-0.5B"
    assert head_of(text)["license"] == "other"
    assert "The license of Qwen/Qwen2.5-0.5B applies" in text
    assert "Beside that (all questions, at the end of its training): replies in the trained form 75.0 %" in text
    assert head_of(card_text(card_of(run, license="mit")))["license"] == "mit"


def test_a_model_without_a_run_claims_nothing(model_folder: Callable[[str], Path]) -> None:
    text = card_text(card_of(model_folder("llama"), template="r1_zero"))
    assert "Nothing: no evaluation of this very model lies with it." in text
    assert "How it was made" not in text
    assert "metrics" not in head_of(text)


def test_an_evaluation_of_an_older_model_is_not_shown(pipeline: Path) -> None:
    (pipeline / "stages/03-all/model/config.json").write_text(
        (pipeline / "stages/03-all/model/config.json").read_text() + "\n"
    )
    assert "beside other models" not in card_text(card_of(pipeline))


def test_suites_that_asked_this_very_model_are_shown(pipeline: Path) -> None:
    run = pipeline / "stages/03-all"
    figures = {"accuracy": 0.6, "accuracy_standard_error": 0.01, "accuracy_low": 0.58, "accuracy_high": 0.62}
    found = {
        "suite": "gsm8k",
        "settings": {"model": f"digest {content_digest(run / 'model')}", "temperature": 0.6, "max-tokens": 512},
        "figures": {"free": {**figures, "num_questions": 800, "num_samples": 3200}},
    }
    write(run / "eval/r1/gsm8k/figures.json", found)
    write(run / "eval/r1/math/figures.json", {**found, "suite": "math", "settings": {"model": "digest another"}})
    card = card_of(pipeline)
    how = "n = 800 questions, 4 samples each, temperature 0.6, at most 512 tokens"
    assert f"| suite gsm8k | 60.0 % | 58.0 to 62.0 % | {how} |" in card_text(card)
    assert "suite math" not in card_text(card)
    assert yaml.safe_load(evaluation_results(card)["gsm8k.yaml"])[0]["value"] == 60.0


def test_a_checkpoint_tells_of_its_run_as_far_as_it_had_come(pipeline: Path) -> None:
    run = pipeline / "stages/03-all"
    checkpoint = run / "checkpoints/step_000030"
    write(checkpoint / "progress.json", {"next_step": 30, "wall_seconds": 600.0})
    facts = read_run(run, checkpoint)
    assert [(stage.name, stage.seconds) for stage in facts.stages] == [
        ("zero", 60.0),
        ("all, its first 30 steps", 600.0),
    ]
    assert (facts.base, facts.seconds) == ("tiny-base", 660.0)
    (measured,) = facts.measured
    assert (measured.what, measured.accuracy.mean) == ("all questions, at this step of its training", 0.5)
    (run / "eval/step_000030.json").rename(run / "eval/step_000040.json")
    assert read_run(run, checkpoint).measured == ()


@pytest.mark.parametrize("broken", ["environment.json", "summary.json", "eval/step_000030.json"])
def test_a_damaged_file_is_left_out(broken: str, pipeline: Path) -> None:
    (pipeline / "stages/03-all" / broken).write_text("{")
    assert "# r1-03-all" in card_text(card_of(pipeline))


def test_facts_of_no_run_are_empty() -> None:
    assert read_run(None) == RunFacts()
    assert RunFacts().seconds is None
