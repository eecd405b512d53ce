"""Small run folders to mirror, and what the services' own files hold afterwards."""

import json
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from thinkwright.run_folder import append_jsonl, write_json_atomic

Points = dict[str, list[tuple[int, float]]]
"""(step, value) of each metric, in the order of the file."""

HOSTILE = "</td></table><script>alert(1)</script> **bold** | pipe\n\n# heading \u202e \ud800 \u7b49" + "x" * 5000
REASON = "is not installed (pip install 'thinkwright[mirrors]')"


def needs(service: str) -> None:
    """Skip the test where the service's library is not there."""
    pytest.importorskip(service, reason=f"{service} {REASON}")


def add_steps(folder: Path, *steps: int) -> None:
    """Rows as RL writes them."""
    for step in steps:
        row = {"reward/total": step / 8, "reward/accuracy": step / 16, "reward/failed": 0.0, "optim/lr": 1e-4}
        append_jsonl(folder / "metrics.jsonl", {"step": step, **row, "policy/version": 2 * step})


def add_evaluation(folder: Path, step: int, text: str = "<think>a</think>") -> None:
    """A held-out evaluation of the policy before that step."""
    figures = {
        "accuracy": step / 4,
        "mean_response_tokens": 9.5,
        "accuracy_by_family": {"facts": 0.5},
        "set_aside_examples": [],
        "settings": {"temperature": 1.0},
    }
    sample = {
        "question": "1+1?", "text": text, "gold": "2", "is_correct": False, "response_tokens": 7,
        "finish_reason": "stop", "family": "facts",
    }  # fmt: skip
    path = folder / "eval" / f"step_{step:06d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"step": step, "figures": figures, "samples": [sample] * 40}))


def say(folder: Path, event: str) -> None:
    """What a run says of itself as a whole."""
    append_jsonl(folder / "events.jsonl", {"time": 0.0, "event": event})


def write_run(folder: Path, num_steps: int = 3) -> Path:
    """A run that is finished, evaluated at its beginning and at its end."""
    write_json_atomic(folder / "recipe.json", {"type": "rl", "steps": num_steps, "optimizer": {"lr": 1e-4}})
    say(folder, "started")
    add_evaluation(folder, 0, HOSTILE)
    add_steps(folder, *range(num_steps))
    add_evaluation(folder, num_steps)
    say(folder, "finished")
    return folder


def tensorboard_holds(folder: Path) -> tuple[Points, dict[str, list[str]]]:
    """Scalars and texts of the event files, as TensorBoard's own reader gives them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "mirrors" / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    scalars = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    texts = {
        tag: [e.tensor_proto.string_val[0].decode() for e in found.Tensors(tag)] for tag in found.Tags()["tensors"]
    }
    return scalars, texts


def trackio_holds(database: Path) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """(step, what was logged) of each run, in the order of the database."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    with sqlite3.connect(database) as connection:
        for name, step, metrics in connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id"):
            found[name].append((step, json.loads(metrics)))
    return found


def points(rows: list[tuple[int, dict[str, Any]]]) -> Points:
    """The numbers of rows."""
    found: Points = defaultdict(list)
    for step, metrics in rows:
        for name, value in metrics.items():
            if isinstance(value, int | float):
                found[name].append((step, value))
    return found


def wandb_holds(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """(step, what was logged) of all the offline runs below ``mirrors/wandb``, in the order they were made in."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows: list[tuple[int, dict[str, Any]]] = []
    for path in sorted((folder / "mirrors" / "wandb").glob("offline-run-*/run-*.wandb")):
        for data in _log_records(path.read_bytes()):
            record = Record.FromString(data)
            if record.WhichOneof("record_type") == "history":
                items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                step = int(items["_step"])
                rows.append((step, {key: value for key, value in items.items() if not key.startswith("_")}))
    return rows


def _log_records(data: bytes) -> list[bytes]:
    """The records of a log in LevelDB's form (blocks of 32 KiB; checksum, length and kind before each piece)."""
    block, header, position = 32768, 7, 7
    found: list[bytes] = []
    while position + header <= len(data):
        if block - position % block < header:
            position += block - position % block
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        piece = data[position + header : position + header + length]
        if kind in (1, 2):  # whole, or the first of several
            found.append(piece)
        elif kind in (3, 4):
            found[-1] += piece
        position += header + length
    return found
