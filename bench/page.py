"""How long a large run's page takes to open: ``python -m bench.page [--steps 2000]`` (needs
chromium-headless-shell and playwright).

A generated run of 2,000 steps x 256 rollouts of some 200 tokens, an evaluation every 100 steps. Measured: the live page
from the request until the last step's rollouts stand in it, another step, an update after a new row of metrics; and the
page that stands alone: writing it, its size, opening it.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from shutil import which
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from thinkwright.config.recipe import RLRecipe
from thinkwright.report.page import write_report
from thinkwright.run_folder import write_rollouts
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

CHROMIUM = which("chromium-headless-shell") or which("chromium")
"""The shell is the same browser without windows: it costs half the processor time. None: there is no browser."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROMPTS, GROUP, TOKENS = 16, 16, 200
_WORDS = ("so", "we", "add", "the", "two", "and", "check", "it", "is", "right", "but", "wait", "this", "wrong", "then")


def make_large_run(folder: Path, num_steps: int, every: int = 100, num_distinct: int = 8) -> None:
    """A run folder of that many steps, as training leaves it, evaluated ``every`` so many.

    Of the rollout files ``num_distinct`` differ; all others are hard links to them.
    """
    folder.mkdir(parents=True)
    said = {"type": "rl", "model": "tiny-base", "task": {"type": "tiny_world"}, "steps": num_steps}
    (folder / "recipe.json").write_text(json.dumps(RLRecipe.model_validate(said).model_dump()))
    (folder / "environment.json").write_text(json.dumps({"argv": ["thinkwright", "run", "large"]}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(metrics_of(step)) + "\n" for step in range(num_steps)))
    (folder / "eval").mkdir()
    for step in range(0, num_steps + 1, every):
        path = folder / "eval" / f"step_{step:06d}.json"
        path.write_text(json.dumps(_evaluation(step, num_steps)))
    names = [folder / "rollouts" / f"step_{step:06d}.jsonl.zst" for step in range(num_steps)]
    for step, path in enumerate(names[:num_distinct]):
        write_rollouts(path, _groups(step))
    for step, path in enumerate(names[num_distinct:]):
        os.link(names[step % num_distinct], path)


def metrics_of(step: int) -> dict[str, float]:
    """A row of metrics of a run that learns, with as many figures as a run writes."""
    rng, learned = Random(step), 1 - math.exp(-step / 500)
    named = {
        "step": step, "reward/total": 0.5 + learned + rng.gauss(0, 0.05), "reward/accuracy": 0.2 + 0.6 * learned,
        "reward/format": 0.6 + 0.4 * learned, "rollout/response_tokens": 50 + 150 * learned + rng.gauss(0, 5),
        "rollout/reflection_words": 0.1 + learned + rng.gauss(0, 0.05), "policy/kl": 0.1 * learned,
        "policy/clip_fraction": 0.01, "policy/entropy": 1 - 0.5 * learned, "time/step_seconds": 9.0,
        "rollout/checking_rate": 0.05 + 0.3 * learned, "rollout/correcting_rate": 0.02 + 0.1 * learned,
    }  # fmt: skip
    return named | {f"other/figure_{i}": rng.random() for i in range(30)}


def _text(rng: Random) -> str:
    words = " ".join(rng.choice(_WORDS) for _ in range(TOKENS))
    return f"<think>{words}</think> <answer>{rng.randint(1, 9)}</answer>"


def _groups(step: int) -> list[RolloutGroup]:
    rng = Random(step)
    groups: list[RolloutGroup] = []
    for i in range(PROMPTS):
        name = f"arithmetic/{step}-{i}"
        prompt = Prompt(name, f"What is {i}+{step}?", "", "number", "4", "4", "r1_zero", "arithmetic", i % 4, "en")
        members: list[ScoredRollout] = []
        for _ in range(GROUP):
            numbers = tuple(rng.random() for _ in range(TOKENS))
            ids = tuple(rng.randint(0, 4000) for _ in range(TOKENS))
            rollout = Rollout(ids, numbers, numbers, (False,) * TOKENS, _text(rng), "stop", step)
            accuracy = float(rng.random() < 0.5)
            members.append(ScoredRollout(rollout, {"accuracy": accuracy, "format": 1.0}, accuracy + 1.0))
        groups.append(RolloutGroup(prompt, (1, 2, 3), tuple(members)))
    return groups


def _evaluation(step: int, num_steps: int) -> dict[str, Any]:
    rng, accuracy = Random(step), 0.2 + 0.6 * step / num_steps
    samples = [
        {
            "prompt_id": f"q{i}", "family": "arithmetic", "level": 1 + i % 4, "language": "en", "question": f"{i}+1?",
            "gold": "4", "text": (text := _text(rng)), "thought": text[7:-27], "answer": "4", "is_well_formed": True,
            "is_correct": rng.random() < accuracy, "score": 1.0, "response_tokens": TOKENS, "finish_reason": "stop",
        }
        for i in range(128)
        for _ in range(2)
    ]  # fmt: skip
    figures = {"accuracy": accuracy, "accuracy_standard_error": 0.02, "mean_response_tokens": 50.0 + step / 10}
    return {"step": step, "figures": figures, "samples": samples}


def main() -> None:
    """Print each measurement as it is made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    num_steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place) / "large"
        make_large_run(folder, num_steps)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        _measure_live(folder, num_steps, browser)
        _measure_alone(folder, browser)
        browser.close()


def _measure_live(folder: Path, num_steps: int, browser: Browser) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "thinkwright", "watch", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    server.stdout.readline()
    address = server.stdout.readline().split()[0]
    print(f"watch: ready after {time.perf_counter() - start:.2f} s")
    page = browser.new_page()
    _timed("watch: first page, with the last step's rollouts", lambda: _open(page, address))
    _timed("watch: the same page again", lambda: _open(page, address))
    _timed("watch: another step", lambda: _go_to(page, num_steps // 2))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(metrics_of(num_steps)) + "\n")
    _timed("watch: until a new row of metrics is told", lambda: page.get_by_text("metrics changed at").wait_for())
    page.close()
    server.send_signal(signal.SIGINT)
    print(f"watch: ended with {server.wait(10)}")


def _measure_alone(folder: Path, browser: Browser) -> None:
    _timed("report: written", lambda: write_report(folder))
    path = folder / "report.html"
    print(f"report: {path.stat().st_size / 1e6:.2f} MB")
    page = browser.new_page()
    _timed("report: opened, with the last step's rollouts", lambda: _open(page, path.as_uri()))
    page.close()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#rb-groups .member").first.wait_for(state="attached")


def _go_to(page: Page, step: int) -> None:
    page.fill("#rb-step", str(step))
    page.press("#rb-step", "Enter")
    page.get_by_text(f"Step {step}:").wait_for()


def _timed(name: str, work: Callable[[], Any]) -> None:
    start = time.perf_counter()
    work()
    print(f"{name}: {time.perf_counter() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main()
