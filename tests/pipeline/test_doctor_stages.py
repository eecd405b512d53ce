"""The doctor of pipelines looks at every stage before the first has run, and names those with faults."""

import json
from pathlib import Path

import pytest

from tests.models.served import chat_reply, serving
from thinkwright import cli
from thinkwright.config.endpoint import Endpoint
from thinkwright.config.load import load_recipe, parse_recipe
from thinkwright.config.section import Section
from thinkwright.pipeline.doctor.stages import Examiner, endpoint_checks

STAGES = """
type = "pipeline"
[[stages]]
name = "data"
recipe = "tiny/cold-data"
set = { model = "tiny-base", task.families = ["facts"] }
[[stages]]
name = "tuned"
recipe = "tiny/cold-start"
set = { data = ["@data/examples.jsonl"], task.families = ["facts"] }
gates = [{ figure = "pass_at_2", min = 0.1 }]
[[stages]]
name = "helpful"
recipe = "tiny/helpful"
set = { model = "@tuned", data = ["tiny-world:helpful-pairs:40"] }
[[stages]]
name = "table"
recipe = "tiny/table"
set = { models = [{ name = "Tuned", model = "@tuned" }], task.families = ["facts"], requests.families = ["greeting"] }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(STAGES)
    return path


def test_every_stage_is_looked_at_before_any_has_run(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    assert cli.main(["doctor", str(file), "--out", str(out)]) == 0
    assert "no stage has a fault" in capsys.readouterr().out
    stages = json.loads(out.read_text())["stages"]
    found = {name: {check["name"]: check["found"] for check in one["checks"]} for name, one in stages.items()}
    assert found["data"]["right answers"].endswith("score full marks")
    assert found["tuned"]["data"] == "comes from stage data, examined when that has run"
    assert found["tuned"]["takes"] == "examples.jsonl of stage data (rejection_sample)"
    assert found["helpful"]["pairs"].startswith("data: 40 pairs")
    assert found["table"]["Tuned: wrong answers"].endswith("score nothing")


def test_stages_with_faults_are_named_and_the_exit_code_is_1(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STAGES.replace('"pass_at_2"', '"pass_at_16"').replace("tiny-world:helpful-pairs:40", "none.jsonl")
    file.write_text(text)
    out = tmp_path / "found.json"
    assert cli.main(["doctor", str(file), "--out", str(out)]) == 1
    assert "stages with faults: tuned, helpful" in capsys.readouterr().out
    stages = json.loads(out.read_text())["stages"]
    failed = {name: [c["found"] for c in one["checks"] if c["status"] == "failed"] for name, one in stages.items()}
    assert failed["tuned"] == ["needs 16 samples a question; evaluation.samples_per_question is 2"]
    assert "none.jsonl: no such file" in failed["helpful"][0]
    file.write_text(STAGES.replace('model = "@tuned" }]', 'model = "@data" }]'))
    assert cli.main(["doctor", str(file)]) == 1
    assert "models.model: @data: stage data (rejection_sample) leaves no model" in capsys.readouterr().err


def test_a_served_model_is_asked_once_and_one_that_is_down_is_a_fault() -> None:
    class Judged(Section):
        judge: Endpoint

    asked: list[object] = []
    with serving(lambda path, body: asked.append(body["max_tokens"]) or chat_reply("ok")) as url:
        (check,) = endpoint_checks(Judged(judge=Endpoint(url=url, name="m")))
    assert (check.name, check.status, asked) == ("judge", "ok", [16])
    (check,) = endpoint_checks(Judged(judge=Endpoint(url=url, name="m", retries=9)))
    assert check.status == "failed"
    assert endpoint_checks(load_recipe("tiny/r1-zero")) == []


@pytest.mark.parametrize(("isolation", "status"), [("bubblewrap", "ok"), ("process", "warning")])
def test_a_table_runs_programs_as_its_recipe_says(tmp_path: Path, isolation: str, status: str) -> None:
    gold = json.dumps({"kind": "asserts", "tests": ["assert one() == 1"], "entry_point": "one"})
    for name in ("own", "held_out"):
        row = {"question": f"Write a function one that returns 1 ({name}).", "answer": gold}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    task = {"type": "rows", "path": f"{tmp_path}/own.jsonl", "held_out_path": f"{tmp_path}/held_out.jsonl"}
    table = {
        "type": "evaluate",
        "models": [{"name": "Base", "model": "tiny-base"}],
        "task": task | {"verifier": "functions"},
        "program_isolation": isolation,
    }
    report = Examiner().examine(parse_recipe("table", table))
    assert {check.status for check in report.checks if check.name == "Base: isolation"} == {status}
