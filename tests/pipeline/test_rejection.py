"""Rejection sampling writes rows that can be learned from, says where they are from, and survives being killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.load import load_recipe
from thinkwright.config.rejection import Extra
from thinkwright.errors import DataError, RecipeError
from thinkwright.pipeline.rejection_rows import read_extra, write_examples
from thinkwright.pipeline.run import run_recipe
from thinkwright.run_folder import append_jsonl

REPOSITORY = Path(__file__).parents[2]
RECIPE = """
type = "rejection_sample"
model = "tiny-base"
template = "r1_zero"
steps = 2
rewrite = "tiny_world"
machine = { device = "cpu", dtype = "float32", threads = 1 }
rollout = { prompts_per_step = 16, group_size = 4, max_response_tokens = 96 }
task = { type = "tiny_world", families = ["word_problems", "ordering", "programs"] }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "samples.toml"
    path.write_text(RECIPE)
    return path


def run(file: Path, out: Path, *overrides: str, resume: bool = False) -> dict[str, Any]:
    return run_recipe(load_recipe(str(file), overrides), out, resume=resume, argv=[])


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_what_is_kept_is_right_readable_and_told_where_it_is_from(file: Path, tmp_path: Path) -> None:
    summary = run(file, tmp_path / "out")
    found = rows(tmp_path / "out")
    counts = summary["after"]
    assert summary["status"] == "finished"
    assert len(found) == counts["examples"] > 3
    assert counts["sampled"] == 2 * 16 * 4 == counts["examples"] + sum(counts["dropped"].values())
    assert counts["dropped"]["wrong"] > counts["examples"]
    for row in found:
        assert row["thought"].startswith({"en": "Let me think.\n", "zh": "我想想。\n"}[row["language"]])
        assert "\\boxed{" in row["answer"]
        assert row["source"]["scores"]["accuracy"] == 1.0
        assert row["source"]["model"] == "tiny-base"
        written = TEMPLATES["think_summary"].write(row["thought"], row["answer"])
        assert TEMPLATES["think_summary"].split(written).is_well_formed
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"{len(found)} completions of `tiny-base`" in card
    assert f"| wrong | {counts['dropped']['wrong']} |" in card


def test_rows_without_a_rule_are_mixed_in_at_their_share(file: Path, tmp_path: Path) -> None:
    extra = [{"question": f"Hi {i}!", "thought": None, "answer": "Hello!"} for i in range(40)]
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in extra))
    counts = run(file, tmp_path / "out", f"extra.data=['{path}']", "extra.share=0.5", "steps=1")["after"]
    found = rows(tmp_path / "out")
    mixed = [row for row in found if row["thought"] is None]
    assert len(mixed) == counts["mixed_in"] == counts["examples"]
    assert {row["source"]["file"] for row in mixed} == {str(path)}
    assert len({row["source"]["row"] for row in mixed}) == len(mixed)
    assert {row["language"] for row in mixed} == {"en"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "Hi!", "answer": 1}, ":1: answer is no text; write question, thought"),
        ({"answer": "Hi!"}, ":1: question is no text"),
        ({"question": "Hi!", "thought": " ", "answer": "a"}, ":1: thought is no text"),
        ({"question": "Hi!", "answer": "\ud800"}, ":1: answer holds half a character"),
        ({"question": "Hi!", "answer": "a", "language": 3}, ":1: language is no text"),
        (None, "talk.jsonl: holds no row; give rows with question, thought and answer"),
    ],
)
def test_rows_to_be_mixed_in_are_checked_before_anything_runs(
    row: dict[str, Any] | None, words: str, file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text("" if row is None else json.dumps(row))
    with pytest.raises(DataError, match=words):
        run(file, tmp_path / "out", f"extra.data=['{path}']")
    assert not (tmp_path / "out").exists()


def test_of_a_row_to_be_mixed_in_what_is_learned_from_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"question": "你好！", "answer": "你好。", "source": "us", "step": 3, "score": 1}))
    assert read_extra(Extra(data=(str(path),))) == [
        {
            "question": "你好！",
            "thought": None,
            "answer": "你好。",
            "language": "zh",
            "source": {"file": str(path), "row": 1, "source": "us"},
        }
    ]


def test_rows_are_the_same_only_if_their_answers_are(file: Path, tmp_path: Path) -> None:
    recipe, out = load_recipe(str(file)), tmp_path / "out"
    source = {"family": "f", "tokens": 1}
    kept = [{"step": s, "question": "q", "thought": "t", "answer": a, "language": "en", "source": source} for s, a in
            ((0, "a"), (1, "a"), (1, "b"))]  # fmt: skip
    for row in kept:
        append_jsonl(out / "kept.jsonl", row)
    counts = write_examples(recipe, out, [])
    assert sorted(row["answer"] for row in rows(out)) == ["a", "b"]
    assert counts["dropped"] == {"the same as in another round": 1}


def test_a_repeated_step_leaves_one_set_of_events_and_the_time_of_all_parts(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(file, out, "steps=1")
    first = json.loads((out / "metrics.jsonl").read_text())
    append_jsonl(out / "events.jsonl", {"event": "set_aside", "step": 0})
    append_jsonl(out / "events.jsonl", {"event": "set_aside", "step": 1})
    (out / "metrics.jsonl").write_text(json.dumps(first | {"time/step_seconds": 1000.0}) + "\n")
    summary = run(file, out, "steps=1", resume=True)
    assert summary["wall_seconds"] > 1000
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "set_aside"] == [0]


@pytest.mark.slow
def test_killed_and_resumed_it_writes_the_same_rows(file: Path, tmp_path: Path) -> None:
    run(file, tmp_path / "whole", "steps=4")
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "thinkwright", "run", str(file), "steps=4", "--out", str(out)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "the first step never ended"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "examples.jsonl").exists()
    run(file, out, "steps=4", resume=True)
    for name in ("examples.jsonl", "README.md", "kept.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("keep.per_prompt=9", "keep.per_prompt = 9 is over rollout.group_size = 4"),
        ("task={type='named', name='gsm8k'}", "rewrite: the rules know the tiny world only, not a named task"),
        ("keep.languages=1", "unknown key"),
    ],
)
def test_options_without_effect_are_refused(file: Path, override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe(str(file), [override])
