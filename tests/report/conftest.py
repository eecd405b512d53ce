"""A run folder as training leaves it: an RL run on the tiny world, with model text as nasty as it gets."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pytest

from thinkwright.config.recipe import PretrainRecipe, RLRecipe

FAMILIES = ("arithmetic", "countdown", "facts", "ordering", "programs", "truth_tellers", "word_problems")
STEPS, EVERY, PER_FAMILY = 60, 20, 8
SCRIPT = "<script>alert('owned')</script>"
NASTY = "\n".join(
    (
        f"{SCRIPT} ]]> --> </pre></style><img src=x onerror=alert(1)>",
        "left \u202eright\u202c\u2066 zero\u200bwidth \x1b[31mred\x00 \r lone \ud800 end",
        "x" * 3000,
        "\u7b49\u7b49, " * 60,
    )
)
NASTY_FAMILY = "truth_tellers"


def _questions() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in FAMILIES:
        for i in range(PER_FAMILY):
            rng = Random(f"{name}/{i}")
            a, b, c = (rng.randint(2, 9) for _ in range(3))
            language = "zh" if i % 2 else "en"
            question = f"计算{a}+{b}+{c}。" if i % 2 else f"What is {a}+{b}+{c}?"
            gold = answer = str(a + b + c)
            steps = f"{a}+{b}={a + b}\n{a + b}+{c}={a + b + c}"
            if name == "countdown":
                gold = json.dumps({"numbers": [a, b, c], "target": a + b - c})
                question = f"Use {a}, {b}, {c} with + - to make {a + b - c}."
                language, answer = "en", f"{a}+{b}-{c}"
                steps = f"try {a}+{b}+{c}: {a + b}+{c}={a + b + c} wrong\ntry {a}+{b}-{c}: {a + b}-{c}={a + b - c} yes"
            if name == "programs":
                gold = json.dumps([[x, a * x + b] for x in (0, 3, 7)])
                question, language, answer = f"f takes {a} times x, plus {b}.", "en", f"lambda x: {a}*x+{b}"
                steps = f"{a}*x\n{a}*x+{b}"
            rows.append(
                {
                    "prompt_id": f"{name}/{i}", "family": name, "level": i // 2 % 4 + 1, "language": language,
                    "question": question, "gold": gold, "answer": answer, "steps": steps,
                }
            )  # fmt: skip
    return rows


def _sample(question: dict[str, Any], skill: float, rng: Random) -> dict[str, Any]:
    thinks, keeps_form = rng.random() < skill, rng.random() < 0.5 + skill / 2
    is_correct = keeps_form and rng.random() < (0.9 if thinks else 0.3)
    answer = question["answer"] if is_correct else str(rng.randint(1, 30))
    checks = thinks and rng.random() < 0.4
    thought = f"step by step\n{question['steps']}" if thinks else rng.choice(("easy.", "I guess so.", "简单。"))
    thought += "\nwait, check again\ngood" if checks else ""
    text = f"<think>{thought}</think> <answer>{answer}</answer>"
    text = text if keeps_form else f"<answer>{answer}</answer> {thought}"
    return {
        **{key: value for key, value in question.items() if key != "steps"},
        "text": text, "thought": thought if keeps_form else text, "answer": answer if keeps_form else None,
        "is_well_formed": keeps_form, "is_correct": is_correct, "response_tokens": len(text) // 3 + 4,
        "finish_reason": "stop" if rng.random() < 0.97 else "length", "reflection_words": 2 * checks,
        "language_consistency": 0.9 if thinks else 0.8,
    }  # fmt: skip


def _by(samples: list[dict[str, Any]], group: str, key: str) -> dict[str, float]:
    names = sorted({str(row[group]) for row in samples})
    return {name: fmean(float(row[key]) for row in samples if str(row[group]) == name) for name in names}


def figures_of(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of an evaluation, without the clustering of the standard error."""
    accuracy = fmean(row["is_correct"] for row in samples)
    return {
        "accuracy": accuracy,
        "accuracy_standard_error": math.sqrt(accuracy * (1 - accuracy) / len(samples)),
        "accuracy_low": max(0.0, accuracy - 0.09),
        "accuracy_high": min(1.0, accuracy + 0.08),
        "pass_at_2": min(1.0, accuracy + 0.1),
        "cons_at_2": min(1.0, accuracy + 0.05),
        "cons_at_2_ties": 0.2,
        "accuracy_by_family": _by(samples, "family", "is_correct"),
        "accuracy_by_level": _by(samples, "level", "is_correct"),
        "tokens_by_level": _by(samples, "level", "response_tokens"),
        "format_rate": fmean(row["is_well_formed"] for row in samples),
        "mean_response_tokens": fmean(row["response_tokens"] for row in samples),
        "reflection_rate": fmean(row["reflection_words"] > 0 for row in samples),
        "reflection_words": fmean(row["reflection_words"] for row in samples),
        "truncated_rate": fmean(row["finish_reason"] == "length" for row in samples),
        "language_consistency": fmean(row["language_consistency"] for row in samples),
        "num_samples": len(samples),
        "settings": {
            "temperature": 1.0, "top_p": 1.0, "samples_per_question": 2, "num_questions": len(samples) // 2,
            "max_response_tokens": 192, "seed": 0, "forced_start": None,
        },
    }  # fmt: skip


def _evaluation(step: int, skill: float) -> dict[str, Any]:
    rng = Random(step)
    samples = [_sample(question, skill, rng) for question in _questions() for _ in range(2)]
    for row in samples:
        if step and row["family"] == NASTY_FAMILY:
            row |= {"thought": NASTY, "answer": NASTY, "text": NASTY, "is_well_formed": False}
    return {"step": step, "figures": figures_of(samples), "samples": samples}


def metrics_of(step: int) -> dict[str, float]:
    """A training step's row of a run that learns."""
    rng, learned = Random(f"metrics/{step}"), 1 - math.exp(-step / 20)
    accuracy, form = 0.3 + 0.5 * learned + rng.gauss(0, 0.03), 0.55 + 0.4 * learned + rng.gauss(0, 0.02)
    words = ("wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check")
    length = 18 + 20 * learned + rng.gauss(0, 1)
    return {
        "step": step, "reward/accuracy": accuracy, "reward/format": form, "reward/total": accuracy + form,
        "reward/failed": 0.0, "reward/timeouts": 0.0, "reward/skipped": 0.0, "reward/group_std": 0.5 - 0.3 * learned,
        "rollout/response_tokens": length, "rollout/truncated_rate": 0.02,
        "rollout/response_tokens_min": 5, "rollout/response_tokens_max": 192,
        "rollout/response_tokens_right": length - 2, "rollout/response_tokens_wrong": length + 6,
        "rollout/response_tokens_finished": length - 1, "rollout/response_tokens_truncated": 192.0,
        "rollout/all_right_groups": 0.5 * learned, "rollout/all_wrong_groups": 0.4 - 0.3 * learned,
        "rollout/reflection_rate": 0.1 + 0.2 * learned, "rollout/checking_rate": 0.1 + 0.2 * learned,
        "rollout/correcting_rate": 0.05 + 0.1 * learned,
        "rollout/reflection_words": 0.2 + 0.5 * learned + rng.gauss(0, 0.03),
        **{f"reflection/{word}": 0.01 * i + 0.02 * i * learned for i, word in enumerate(words)},
        "rollout/tokens": 16 * round(length), "rollout/tokens_per_second": 4100.0, "update/tokens_per_second": 5000.0,
        "reward/answers_per_second": 900.0, "policy/kl": 0.08 * learned + abs(rng.gauss(0, 0.004)),
        "policy/clip_fraction": 0.004 + abs(rng.gauss(0, 0.001)), "policy/logprob_gap": 1e-3,
        "policy/entropy": 0.9 - 0.5 * learned + rng.gauss(0, 0.02), "loss/policy": rng.gauss(0, 0.01),
        "optim/grad_norm": 0.4, "optim/lr": 3e-4, "rollout/skipped_groups": 3, "time/reward_seconds": 0.2,
        "time/rollout_seconds": 5.0, "time/update_seconds": 4.0, "time/step_seconds": 9.0,
    }  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """A JSON file, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run that learned: 56 held-out questions, 60 steps, evaluated every 20."""
    folder = tmp_path / "zero-0"
    said = {"type": "rl", "model": "tiny-base", "task": {"type": "tiny_world"}, "steps": STEPS}
    recipe = RLRecipe.model_validate(said)
    write_json(folder / "recipe.json", recipe.model_dump())
    environment = {
        "argv": ["thinkwright", "run", "tiny/zero", "seed=0", "name=a b"], "git": "0123abc", "python": "3.11.7",
        "versions": {"torch": "2.13.0", "transformers": "5.19.0"},
        "machine": {"cpu": "Some CPU", "cores": 2, "memory_bytes": 8 * 2**30, "platform": "Linux"},
        "device": "cpu", "dtype": "bfloat16", "threads": 2, "started": "2026-01-01T10:00:00+00:00",
    }  # fmt: skip
    write_json(folder / "environment.json", environment)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(metrics_of(i)) + "\n" for i in range(STEPS)))
    evaluations = [_evaluation(step, 0.1 + 0.75 * (1 - math.exp(-step / 20))) for step in range(0, STEPS + 1, EVERY)]
    for row in evaluations:
        write_json(folder / "eval" / f"step_{row['step']:06d}.json", row)
    bare, forced = (_evaluation(0, skill)["figures"] for skill in (0.0, 0.9))
    write_json(folder / "eval" / "baselines.json", {"bare": bare, "forced": forced})
    summary = {
        "status": "finished", "wall_seconds": 540.0, "steps": STEPS, "rollout_tokens": 1_234_567, "seed": 0,
        "before": evaluations[0]["figures"], "after": evaluations[-1]["figures"],
    }  # fmt: skip
    write_json(folder / "summary.json", summary)
    return folder


@pytest.fixture
def pretraining_folder(run_folder: Path) -> Path:
    """A finished pre-training run: a loss, one evaluation at its end, and the base made to answer in two ways."""
    said = {"type": "pretrain", "steps": STEPS}
    write_json(run_folder / "recipe.json", PretrainRecipe.model_validate(said).model_dump())
    times = {"optim/lr": 1e-3, "optim/grad_norm": 0.5, "time/step_seconds": 2.0}
    rows = [{"step": i, "loss/nll": 3.0 - i / 30, **times} for i in range(STEPS)]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for path in (run_folder / "eval").glob("step_*.json"):
        path.unlink()
    row = _evaluation(0, 0.1) | {"step": STEPS}
    write_json(run_folder / "eval" / f"step_{STEPS:06d}.json", row)
    summary = {"status": "finished", "wall_seconds": 120.0, "steps": STEPS, "seed": 0, "after": row["figures"]}
    write_json(run_folder / "summary.json", summary)
    return run_folder


@pytest.fixture
def edit(run_folder: Path) -> Callable[..., None]:
    """Replace keys of one JSON file of the run folder: ``edit("summary.json", status="stopped")``."""

    def edit(name: str, **changes: Any) -> None:
        path = run_folder / name
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)

    return edit
