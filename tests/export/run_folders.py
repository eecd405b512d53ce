"""Run folders as training leaves them, small: a pipeline of two stages with a table, or one run."""

import json
import shutil
from pathlib import Path
from typing import Any

from thinkwright.pipeline.outside import content_digest

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "memory_bytes": 25276510208, "platform": "Linux"}


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def samples(marks: dict[str, list[bool]]) -> list[dict[str, Any]]:
    """Of each question, whether each reply was right."""
    return [
        {"prompt_id": name, "is_correct": mark, "language": "zh" if "zh" in name else "en"}
        for name, found in marks.items()
        for mark in found
    ]


def write_run(folder: Path, model: Path, recipe: dict[str, Any], rows: list[dict[str, Any]], seconds: float) -> Path:
    """A finished run of ``recipe`` that made a copy of ``model`` and was evaluated with ``rows``."""
    shutil.copytree(model, folder / "model")
    write(folder / "recipe.json", recipe)
    argv = ["/home/someone/thinkwright/__main__.py", "run", "tiny/r1", "seed=0", "--out", "/home/someone/runs/r1"]
    environment = {"argv": argv, "versions": {"torch": "2.13.0"}, "machine": MACHINE, "device": "cpu"}
    write(folder / "environment.json", {**environment, "dtype": "float32", "started": "2026-11-28T10:24:23+00:00"})
    write(folder / "summary.json", {"status": "finished", "wall_seconds": seconds})
    settings = {"temperature": 1.0, "max_response_tokens": 192}
    figures = {"accuracy": 0.5, "format_rate": 0.75, "truncated_rate": 0.0, "settings": settings}
    write(folder / "eval" / "step_000000.json", {"figures": {}, "samples": samples({"first": [False]})})
    write(folder / "eval" / "step_000030.json", {"figures": figures, "samples": rows})
    return folder


def write_pipeline(folder: Path, model: Path) -> Path:
    """zero -> all (it learned on gsm8k), a stage of no use to it, and a table that asked it; gives ``all``."""
    write(folder / "pipeline.json", {"name": "shipped recipe tiny/r1"})
    stages = folder / "stages"
    tiny = {"type": "tiny_world", "families": ["arithmetic", "facts"]}
    zero = {"type": "rl", "model": "tiny-base", "template": "r1_zero", "task": tiny}
    write_run(stages / "01-zero", model, zero, samples({"arithmetic/1": [True]}), 60.0)
    write(stages / "01-zero.json", {"inputs": {}})
    write_run(stages / "02-unused", model, zero, samples({"arithmetic/1": [True]}), 7200.0)
    write(stages / "02-unused.json", {"inputs": {}})
    recipe = {"type": "rl", "model": f"{stages}/01-zero/model", "template": "think_summary", "task": {"name": "gsm8k"}}
    rows = samples({"gsm8k/1": [True, True], "gsm8k/2": [True, False], "facts/zh": [False, False]})
    last = write_run(stages / "03-all", model, recipe, rows, 3540.0)
    write(stages / "03-all.json", {"inputs": {"zero": "abc"}})
    table = {"type": "evaluate", "models": [{"name": "R1 final", "model": f"{last}/model"}], "max_response_tokens": 96}
    write(stages / "04-table" / "recipe.json", {**table, "evaluation": {"temperature": 0.6}})
    found = {"digest": content_digest(last / "model"), "figures": {}, "samples": {"task": samples({"q": [True]})}}
    write(stages / "04-table" / "eval" / "R1_final.json", found)
    return last
