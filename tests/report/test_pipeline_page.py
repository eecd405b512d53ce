"""The page of a pipeline, from what the folder holds, whole or not."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_page import _outline
from thinkwright.config.pipeline import LEAVES
from thinkwright.pipeline.manifest import Manifest, Output
from thinkwright.report.lineage import output_digest
from thinkwright.report.page import write_report
from thinkwright.report.pipeline_page import KINDS as NAMES

GATES = {
    "zero": [{"figure": "accuracy", "min": 0.5, "max": None}],
    "data": [{"figure": "examples", "min": 10, "max": None}],
}
KINDS = {"zero": "rl", "data": "rejection_sample", "judge": "reward_model", "table": "evaluate"}
FIGURES: dict[str, dict[str, Any]] = {
    "zero": {"accuracy": 0.75},
    "data": {"sampled": 96, "examples": 8, "mixed_in": 3, "dropped": {"wrong": 60}, "examples_by_language": {"en": 8}},
    "judge": {
        "held_out_accuracy": 0.9, "held_out_accuracy_standard_error": 0.05, "length_bias": 0.2,
        "calibration_error": 0.1, "calibration_bins": [{"said": 0.71, "was": 0.64, "count": 31}],
    },
    "table": {"A <b>": {"accuracy": 0.7}},
}  # fmt: skip
TABLE = {
    "columns": ["A <b>", "B"],
    "rows": [
        {"figure": "right answers", "values": [0.7, 0.55], "format": "percent"},
        {"figure": "tokens a response", "values": [47.0, None], "format": "number"},
    ],
}


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline of four kinds, all finished; the gate after the rows is shut."""
    out = tmp_path / "mine"
    rows = [
        {"name": name, "type": kind, "inputs": ["zero"] if name == "data" else [], "gates": GATES.get(name, [])}
        for name, kind in KINDS.items()
    ]
    write_json(out / "pipeline.json", {"name": "mine.toml", "stages": rows})
    for number, (name, kind) in enumerate(KINDS.items(), 1):
        stage, figures = out / "stages" / f"0{number}-{name}", FIGURES[name]
        write_json(
            stage.with_name(f"{stage.name}.json"), {"status": "finished", "figures": figures, "wall_seconds": 30}
        )
        models = {"models": [{"name": "A <b>"}, {"name": "B"}]} if kind == "evaluate" else {}
        write_json(stage / "recipe.json", {"type": kind, "steps": 2} | models)
        write_json(stage / "environment.json", {})
        before = {"accuracy": 0.25} if name == "zero" else {"held_out_accuracy": 0.5} if name == "judge" else {}
        summary = {"status": "finished", "wall_seconds": 30, "steps": 2, "after": figures, "before": before}
        write_json(stage / "summary.json", summary)
    write_json(out / "stages/04-table/table.json", TABLE)
    row = {"question": "<i>2+2?", "thought": "2+2=4", "answer": "4", "language": "en", "source": {"prompt_id": "a/1"}}
    (out / "stages/02-data/examples.jsonl").write_text(json.dumps(row) + "\n")
    (out / "stages/02-data/metrics.jsonl").write_text('{"step": 0, "sample/completions": 96, "sample/kept": 8}\n')
    (out / "stages/03-judge/metrics.jsonl").write_text('{"step": 0, "loss/preference": 0.69}\n')
    write_json(out / "summary.json", {"status": "stopped"})
    return out


def text_of(path: Path) -> str:
    page = path.read_text(encoding="utf-8")
    outline = _outline(page)
    assert (outline.open, outline.misplaced) == ([], [])
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2])))


def test_it_tells_stages_lineage_gates_data_and_the_table(folder: Path) -> None:
    path = write_report(folder)
    page, text = path.read_text(encoding="utf-8"), text_of(path)
    assert "All 4 stages have run, in 2 minutes on this machine, and the gate after data is shut." in text
    assert "zero accuracy at least 0.5 0.75 passed" in text
    assert "data examples at least 10 8 shut" in text
    assert "right answers 25.0% \N{RIGHTWARDS ARROW} 75.0%" in text
    assert "data/examples.jsonl zero 96 8 3" in text
    assert "right answers 70.0% 55.0% tokens a response 47.0 \N{EN DASH}" in text
    assert "A <b>" not in page
    links = [link for link in _outline(page).links if not link.startswith("#")]
    assert links == [f"stages/0{number}-{name}/report.html" for number, name in enumerate(KINDS, 1)]
    assert all((folder / link).is_file() for link in links)


def test_every_kind_of_stage_has_a_name() -> None:
    assert NAMES.keys() == LEAVES.keys()


def test_a_list_of_stages_of_another_shape_becomes_a_note(folder: Path) -> None:
    rows = json.loads((folder / "pipeline.json").read_text())["stages"]
    rows[0] = {"name": "zero"}
    rows[2]["type"] = "distill"
    write_json(folder / "pipeline.json", {"stages": rows})
    text = text_of(write_report(folder))
    assert "pipeline.json does not say what stage 1 is, which is left out." in text
    assert "All 3 stages have run" in text
    assert "judge distillation" in text
    for stages in (3, {"zero": {}}, [None]):
        write_json(folder / "pipeline.json", {"stages": stages})
        assert "does not say what stage 1 is" in text_of(write_report(folder))


def test_pages_of_every_kind_tell_what_it_was_and_nothing_else(folder: Path) -> None:
    write_report(folder)
    data, judge, table = (
        text_of(folder / "stages" / name / "report.html") for name in ("02-data", "03-judge", "04-table")
    )
    assert "8 of 96 sampled responses were right, readable and kept" in data
    assert "wrong 60" in data
    assert "<i>2+2? Thought 2+2=4 Answer 4" in data
    assert "50% \N{RIGHTWARDS ARROW} 90% of held-out pairs told as people did" in judge
    assert "71.0% 64.0% 31" in judge
    assert "Leaning on length" in judge
    assert "2 models side by side: A <b> answers most held-out questions right, 70%" in table
    assert "Models evaluated 2 of 2" in table
    for page in (data, table):
        assert not [
            claim
            for claim in ("GRPO", "no held-out evaluation", "No held-out", "training curves", "before and after")
            if claim in page
        ]


def test_a_pipeline_that_has_only_begun_gives_a_page(folder: Path) -> None:
    for name in ("02-data", "03-judge", "04-table"):
        (folder / "stages" / f"{name}.json").unlink()
        for path in (folder / "stages" / name).iterdir():
            path.unlink()
    text = text_of(write_report(folder))
    assert "Stopped: 1 of 4 stages have run" in text
    assert "data examples at least 10 \N{EN DASH} not measured yet" in text
    for shape in ([], {"status": 3}, {"figures": [1]}, {"wall_seconds": "long"}):
        write_json(folder / "stages/01-zero.json", shape)
        assert re.search("01-zero.json (is not what a stage writes|could not be read)", text_of(write_report(folder)))
    (folder / "stages/01-zero.json").write_text("{")
    assert "01-zero.json could not be read" in text_of(write_report(folder))


def manifest(path: Path, outputs: dict[str, Any], inputs: dict[str, str], outside: dict[str, str]) -> None:
    kept = {"outputs": outputs, "inputs": inputs, "outside": outside}
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | kept)


def test_lineage_tells_hashes_outputs_and_who_takes_from_whom(folder: Path) -> None:
    model = {"model/config.json": {"sha256": "aa" * 32, "size": 1500, "modified": 1}}
    digest = output_digest(model)
    assert digest == Manifest({}, {}, "0", outputs={"model/config.json": Output("aa" * 32, 1500, 1)}).digest()
    manifest(folder / "stages/01-zero.json", model, {}, {"data/<i>.jsonl": "bb" * 8})
    rows = {f"part-{i}": {"sha256": f"{i:064x}", "size": 10, "modified": 1} for i in range(9)}
    manifest(folder / "stages/02-data.json", rows, {"zero": digest}, {})
    page = (path := write_report(folder)).read_text(encoding="utf-8")
    text = text_of(path)
    assert (
        f"zero \N{EN DASH} data/<i>.jsonl {'bb' * 6} together {digest[:12]} model/config.json 1.5KB aaaaaaaaaaaa data"
        in text
    )
    assert f"data zero {digest[:12]} " in text
    assert "and 3 more" in text
    assert 'aria-label="data takes from zero"' in page
    assert page.count('<path class="edge"') == 1
    assert '<span class="worse">made something else since' not in page


def test_a_stage_made_from_what_is_no_more_is_marked(folder: Path) -> None:
    model = {"model/config.json": {"sha256": "aa" * 32, "size": 1500, "modified": 1}}
    manifest(folder / "stages/01-zero.json", model, {}, {})
    manifest(folder / "stages/02-data.json", {}, {"zero": "0" * 16}, {})
    path = write_report(folder)
    assert "zero 000000000000 made something else since" in text_of(path)
    assert '<path class="edge stale"' in path.read_text(encoding="utf-8")


def test_a_manifest_of_another_shape_gives_a_lineage_all_the_same(folder: Path) -> None:
    write_json(folder / "stages/01-zero.json", {"status": "finished", "outputs": [1], "inputs": 3, "outside": None})
    write_json(folder / "stages/02-data.json", {"status": "finished", "outputs": {"a": 1, "b": {"size": "x"}}})
    assert "What was made from what" in text_of(write_report(folder))
