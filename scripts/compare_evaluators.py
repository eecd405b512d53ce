"""Runs one suite by four evaluators, two of them not ours, and compares them question by question.

    python scripts/compare_evaluators.py [MODEL] [--suite NAME] [--questions N] [--max-tokens N] [--template NAME]

The evaluators: ``thinkwright eval FOLDER``, ``thinkwright eval URL#NAME``, lm-evaluation-harness and inspect-ai, the
last three asking ``thinkwright serve``; the last two live in .venv-bench-clients (``make client-envs``) and mark
replies by examples/clients. Greedy, every question must have the same mark everywhere. At temperature 0.6, a sample
each, marks differ by chance: each evaluator is held against the folder's by the exact McNemar test (a question that
only one of the two got right is as likely to be the one's as the other's); p must be above 0.01 / 3, for there are
three comparisons.
Ends with status 1 if either fails.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from thinkwright.config.serving import ServeSettings
from thinkwright.pipeline.model_source import find_model
from thinkwright.serving.serve import serving

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ROOT / ".venv-bench-clients" / "bin"
SUITE_FILE = Path("build/clients/suite.jsonl")
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
SAMPLING_TEMPERATURE, TOP_P = 0.6, 0.95
MAX_CHANCE = 0.01
CONCURRENCY = 8
STEP_SECONDS = 3600
Marks = dict[str, bool]
"""Of each question, by its id, whether its answer was right."""


def main() -> int:
    """Print the tables; 1 if the evaluators disagree."""
    options = _options()
    if not (CLIENTS / "lm_eval").exists():
        raise SystemExit(f"{CLIENTS}: is missing; make it with: make client-envs")
    (ROOT / SUITE_FILE).parent.mkdir(parents=True, exist_ok=True)
    count = [] if options.questions is None else [str(options.questions)]
    _run([sys.executable, "examples/clients/export_suite.py", options.suite, str(SUITE_FILE), *count])
    name = find_model(options.model).name
    is_agreed = True
    with tempfile.TemporaryDirectory() as folder, serving(_settings(options, Path(folder))) as address:
        for temperature in (0.0, SAMPLING_TEMPERATURE):
            found = _all_marks(options, f"{address}/v1", name, temperature, Path(folder) / str(temperature))
            is_agreed &= _compare(found, is_greedy=temperature == 0.0)
    print("The evaluators agree." if is_agreed else "THE EVALUATORS DISAGREE.")
    return 0 if is_agreed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="tiny-base")
    parser.add_argument("--suite", default="tiny_world")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--template")
    return parser.parse_args()


def _settings(options: argparse.Namespace, folder: Path) -> ServeSettings:
    return ServeSettings((options.model,), port=0, template=options.template, votes=folder / "votes.sqlite")


def _all_marks(options: argparse.Namespace, url: str, name: str, temperature: float, folder: Path) -> dict[str, Marks]:
    template = [] if options.template is None else ["--template", options.template]
    return {
        "thinkwright eval FOLDER": _ours(options, options.model, temperature, folder / "folder", template),
        "thinkwright eval URL#NAME": _ours(options, f"{url}#{name}", temperature, folder / "served", []),
        "lm-evaluation-harness": _lm_eval(options, url, name, temperature, folder / "lm_eval"),
        "inspect-ai": _inspect(options, url, name, temperature, folder / "inspect"),
    }


def _ours(options: argparse.Namespace, model: str, temperature: float, folder: Path, template: list[str]) -> Marks:
    command = [sys.executable, "-m", "thinkwright", "eval", model, "--suite", options.suite, "--samples", "1"]
    command += ["--temperature", str(temperature), "--max-tokens", str(options.max_tokens), "--out", str(folder)]
    command += [] if options.questions is None else ["--questions", str(options.questions)]
    _run([*command, *template])
    (path,) = folder.glob("*/*/free.scores.jsonl")
    return {row["prompt_id"]: bool(row["is_correct"]) for row in _rows(path)}


def _lm_eval(options: argparse.Namespace, url: str, name: str, temperature: float, folder: Path) -> Marks:
    arguments = f"model={name},base_url={url}/chat/completions,num_concurrent={CONCURRENCY},tokenizer_backend=None"
    how = f"max_gen_toks={options.max_tokens},temperature={temperature},do_sample={temperature > 0},top_p={TOP_P}"
    _run(
        [
            str(CLIENTS / "lm_eval"), "run", "--model", "local-chat-completions", "--model_args", arguments,
            "--include_path", "examples/clients/lm_eval", "--tasks", "thinkwright_suite", "--apply_chat_template",
            "--gen_kwargs", how, "--output_path", str(folder), "--log_samples",
        ]
    )  # fmt: skip
    (path,) = folder.rglob("samples_*.jsonl")
    return {row["doc"]["id"]: row["right"] == 1.0 for row in _rows(path)}


def _inspect(options: argparse.Namespace, url: str, name: str, temperature: float, folder: Path) -> Marks:
    _run(
        [
            str(CLIENTS / "inspect"), "eval", "examples/clients/inspect_suite.py", "--model",
            f"openai-api/thinkwright/{name}", "--temperature", str(temperature), "--top-p", str(TOP_P), "--max-tokens",
            str(options.max_tokens), "--max-connections", str(CONCURRENCY), "--log-format", "json", "--log-dir",
            str(folder), "--display", "plain",
        ],
        {"THINKWRIGHT_API_KEY": "none", "THINKWRIGHT_BASE_URL": url},
    )  # fmt: skip
    (path,) = folder.glob("*.json")
    samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
    return {sample["id"]: sample["scores"]["by_rule"]["value"] == 1.0 for sample in samples}


def _run(command: list[str], variables: dict[str, str] | None = None) -> None:
    """One step, from the project's root. Ends the script with what the step said if it fails."""
    environment = {**os.environ, **OFFLINE, "PYTHONPATH": str(ROOT), **(variables or {})}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stdout}\n{done.stderr}")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _compare(found: dict[str, Marks], *, is_greedy: bool) -> bool:
    first = found["thinkwright eval FOLDER"]
    how = "greedy" if is_greedy else f"temperature {SAMPLING_TEMPERATURE}, top-p {TOP_P}, one sample a question"
    print(f"\n{len(first)} questions, {how}\n\n| evaluator | right answers | only it | only the folder | p |")
    print("|---|---|---|---|---|")
    is_agreed = True
    for name, marks in found.items():
        only_it = sum(marks[question] and not first[question] for question in first)
        only_first = sum(first[question] and not marks[question] for question in first)
        chance = mcnemar(only_it, only_first)
        share = sum(marks.values()) / len(marks)
        print(
            f"| {name} | {share:.2%} | {only_it} | {only_first} | {'' if is_greedy else f'{chance:.3f}'} |", flush=True
        )
        is_same = only_it == only_first == 0 if is_greedy else chance > MAX_CHANCE / (len(found) - 1)
        is_agreed &= is_same and marks.keys() == first.keys()
    return is_agreed


def mcnemar(one: int, other: int) -> float:
    """The chance that counts of discordant pairs are as uneven as these, or more, if both sides are as likely."""
    total, fewer = one + other, min(one, other)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total)


if __name__ == "__main__":
    sys.exit(main())
