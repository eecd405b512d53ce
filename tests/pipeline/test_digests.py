"""What a resumed run is held against, and which replies a shut gate shows."""

import json
from dataclasses import replace
from pathlib import Path

from thinkwright.config.tasks import TinyWorldTask
from thinkwright.pipeline.gate import examples_of
from thinkwright.pipeline.prompting import digest_of
from thinkwright.pipeline.record import prompts_digest
from thinkwright.tasks.prompts import load_task


def test_another_reference_is_another_digest() -> None:
    prompts = load_task(TinyWorldTask(type="tiny_world", families=("facts",))).held_out
    other = [replace(prompts[0], reference="Rome, I think"), *prompts[1:]]
    assert prompts_digest(prompts) == prompts_digest(reversed(prompts)) != prompts_digest(other)


def test_other_rows_to_mix_in_are_another_digest() -> None:
    task = load_task(TinyWorldTask(type="tiny_world", families=("facts",)))
    row = {"question": "Hi!", "thought": None, "answer": "Hello."}
    assert digest_of(task, [], [row]) == digest_of(task, [], [dict(row)])
    assert len({digest_of(task, [], rows) for rows in ([], [row], [row | {"answer": "No."}])}) == 3


def test_a_gate_on_requests_shows_requests(tmp_path: Path) -> None:
    rows = {name: [{"question": f"a {name}", "text": "no", "is_correct": False}] for name in ("task", "requests")}
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "R1.json").write_text(json.dumps({"samples": rows}))
    for figure in ("R1.harmless_rate", "R1.win_rate", "R1.over_refusal_rate", "R1.small_talk_without_thought"):
        assert examples_of(tmp_path, figure) == ["'a requests': 'no'"]
    assert examples_of(tmp_path, "R1.accuracy_math") == ["'a task': 'no'"]
