"""A pipeline runs what has to be run and nothing else, says why, and survives whatever stops it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from thinkwright.config.pipeline import Pipeline, load_pipeline
from thinkwright.errors import GateError, RecipeError, RunFolderError
from thinkwright.pipeline.manifest import Manifest, differences, read_manifest, write_manifest
from thinkwright.pipeline.stages import Extent, run_pipeline

REPOSITORY = Path(__file__).parents[2]
SMALL = """
type = "rl"
model = "MODEL"
steps = 2
checkpoint_steps = 1
machine = { device = "cpu", dtype = "float32", threads = 1 }
rewards = { random = 1, accuracy = 0, format = 0 }
rollout = { prompts_per_step = 2, group_size = 2, max_response_tokens = 6 }
optimizer = { lr = 1e-3 }
evaluation = { every_steps = 100, samples_per_question = 1 }
[task]
type = "rows"
path = "FOLDER/train.jsonl"
held_out_path = "FOLDER/test.jsonl"
"""
STAGES = """
type = "pipeline"
[[stages]]
name = "first"
recipe = "small.toml"
[[stages]]
name = "second"
recipe = "small.toml"
set = { model = "@first", optimizer.lr = 1e-4 }
[[stages]]
name = "third"
recipe = "small.toml"
set = { model = "@second" }
"""


@pytest.fixture
def file(model_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A pipeline of three small stages, each going on from the one before."""
    for name, numbers in (("train", range(8)), ("test", range(20, 24))):
        rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = SMALL.replace("MODEL", str(model_folder("qwen2"))).replace("FOLDER", str(tmp_path))
    (tmp_path / "small.toml").write_text(small)
    path = tmp_path / "three.toml"
    path.write_text(STAGES)
    return path


def load(file: Path, *overrides: str) -> Pipeline:
    pipeline = load_pipeline(str(file), overrides)
    assert pipeline is not None
    return pipeline


def run(file: Path, out: Path, *overrides: str, extent: Extent = Extent()) -> list[str]:  # noqa: B008
    """Run it and give back what was said."""
    said: list[str] = []
    assert run_pipeline(load(file, *overrides), out, extent, [], said.append)["status"] == "finished"
    return said


def manifest(out: Path, number: int) -> Manifest:
    (path,) = (out / "stages").glob(f"0{number}-*.json")
    found = read_manifest(path)
    assert found is not None
    return found


def test_stages_follow_each_other_and_are_not_run_again(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(file, out)[:3] == [
        "first: not run yet",
        "second: not run yet; stage first, which it takes from, is run",
        "third: not run yet; stage second, which it takes from, is run",
    ]
    before = [manifest(out, number) for number in (1, 2, 3)]
    assert before[1].inputs == {"first": before[0].digest()}
    assert len({found.digest() for found in before}) == 3
    recipe = json.loads((out / "stages/02-second/recipe.json").read_text())
    assert recipe["model"] == str(out / "stages/01-first/model")
    assert run(file, out)[:3] == [f"{name}: as it was, not run again" for name in ("first", "second", "third")]
    assert [manifest(out, number) for number in (1, 2, 3)] == before
    assert list(json.loads((out / "summary.json").read_text())["stages"]) == ["first", "second", "third"]


def test_a_changed_stage_is_made_again_with_what_depends_on_it(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(file, out)
    first, second = manifest(out, 1), manifest(out, 2)
    said = run(file, out, "second.steps=3")
    assert said[:3] == [
        "first: as it was, not run again",
        "second: steps: 2 before, 3 now",
        "third: stage second, which it takes from, is run",
    ]
    assert manifest(out, 1) == first
    assert manifest(out, 2).digest() != second.digest()
    assert manifest(out, 3).inputs == {"second": manifest(out, 2).digest()}
    assert (out / "stages/old/02-second-1/model/config.json").exists(), "nothing that was made is deleted"


def test_an_output_deleted_or_changed_by_hand_is_made_again_and_the_same(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(file, out)
    before = [manifest(out, number).digest() for number in (1, 2, 3)]
    weights = out / "stages/01-first/model/model.safetensors"
    weights.unlink()
    config = out / "stages/02-second/model/config.json"
    config.write_text(config.read_text() + " ")
    said = run(file, out)
    assert said[0] == f"first: {weights} is gone"
    assert said[1].startswith(f"second: {config} is not what the stage wrote")
    assert [manifest(out, number).digest() for number in (1, 2, 3)] == before
    assert not (out / "stages/old").exists(), "third had nothing to do"


def test_a_stage_that_was_stopped_goes_on_in_a_folder_that_was_moved_or_is_spelt_otherwise(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    run(file, out)
    before = [manifest(out, number) for number in (1, 2, 3)]
    write_manifest(out / "stages/02-second.json", replace(before[1], status="running", outputs={}))
    (out / "stages/03-third/model/config.json").unlink()
    out.rename(moved)
    monkeypatch.chdir(tmp_path)
    said = run(file, Path("moved"))
    assert said[1] == "second: was stopped, goes on"
    assert [manifest(moved, number).digest() for number in (1, 2, 3)] == [found.digest() for found in before]
    assert not (moved / "stages/old").exists()


@pytest.mark.slow
def test_stages_that_nothing_changed_for_are_not_run_again_where_others_come_and_go(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(file, out)
    before = manifest(out, 2).digest()
    new = '[[stages]]\nname = "new"\nrecipe = "small.toml"\n[[stages]]\nname = "second"'
    file.write_text(STAGES.replace('[[stages]]\nname = "second"', new))
    assert run(file, out)[:6] == [
        "second: was 02-second, is 03-second now",
        "third: was 03-third, is 04-third now",
        "first: as it was, not run again",
        "new: not run yet",
        "second: as it was, not run again",
        "third: as it was, not run again",
    ]
    assert manifest(out, 3).digest() == before
    file.write_text(STAGES)
    assert run(file, out)[2:5] == [f"{name}: as it was, not run again" for name in ("first", "second", "third")]
    assert not (out / "stages/old").exists()


@pytest.mark.slow
def test_changed_data_make_a_stage_run_again(file: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out", tmp_path / "train.jsonl"
    run(file, out)
    data.write_text(data.read_text().replace("What is 7", "And what is 7"))
    assert run(file, out)[:3] == [f"{name}: {data} has changed" + also for name, also in (
        ("first", ""),
        ("second", "; stage first, which it takes from, is run"),
        ("third", "; stage second, which it takes from, is run"),
    )]  # fmt: skip


def test_a_gate_that_is_shut_stops_with_value_examples_and_the_way_on(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gated = STAGES.replace(
        'recipe = "small.toml"', 'recipe = "small.toml"\ngates = [{ figure = "accuracy", min = 0.5 }]', 1
    )
    file.write_text(gated)
    with pytest.raises(GateError) as caught:
        run(file, out)
    text = str(caught.value)
    assert "gate after stage first is shut: accuracy is 0, at least 0.5 is wanted" in text
    assert "first.steps=" in text
    assert "for example 'What is 2" in text
    assert not (out / "stages/02-second").exists()
    first = manifest(out, 1)
    file.write_text(gated.replace("min = 0.5", "max = 0.5"))
    assert "  gate passed: accuracy = 0 (max 0.5)" in run(file, out)
    assert manifest(out, 1) == first
    file.write_text(gated.replace('"accuracy"', '"no_such.figure"'))
    with pytest.raises(GateError, match=r"there is no figure no_such.figure; figures: .*accuracy"):
        run(file, out)
    file.write_text(gated.replace('"accuracy"', '"acuracy_by_family.train"'))
    with pytest.raises(GateError, match=r"no figure acuracy_by_family.train; did you mean accuracy_by_family.t"):
        run(file, out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "stopped"
    assert summary["stages"]["first"]["status"] == "finished"


def test_a_part_of_the_stages_can_be_run(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RunFolderError, match="stage first is needed and not there: it has not been run to its end"):
        run(file, out, extent=Extent(first="second"))
    run(file, out, extent=Extent(last="first"))
    assert not (out / "stages/02-second").exists()
    assert not any("taken as it is" in line for line in run(file, out, extent=Extent(first="second", last="second")))
    said = run(file, out, "first.steps=3", extent=Extent(first="second", last="second"))
    assert said[0] == "first: taken as it is, although: steps: 2 before, 3 now"
    file.write_text(STAGES.replace('small.toml"', 'small.toml"\ngates = [{ figure = "accuracy", min = 0.5 }]', 1))
    with pytest.raises(GateError, match="gate after stage first is shut"):
        run(file, out, extent=Extent(first="second", last="second"))
    file.write_text(STAGES)
    assert not (out / "stages/03-third").exists()
    with pytest.raises(RecipeError, match="no stage is called forth; its stages: first, second, third"):
        run(file, out, extent=Extent(first="forth"))
    with pytest.raises(RecipeError, match="comes before"):
        run(file, out, extent=Extent(first="third", last="first"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("@first", "@frist", "stage second: model: @frist is no earlier stage; did you mean first"),
        ("@first", "@third", "stage second: model: @third is no earlier stage; earlier stages: first"),
        ('"second"', '"first"', "stage first: two stages have this name"),
        ('"second"', '"Second!"', "stages[1].name: "),
        ("optimizer.lr", "optimiser.lr", "stage second (small.toml): optimiser: unknown key; did you mean optimizer"),
        ('recipe = "small.toml"\nset = { model = "@second" }', "", "stages[2].recipe: required and not given"),
    ],
)
def test_a_wrong_pipeline_is_refused_before_anything_runs(file: Path, old: str, new: str, words: str) -> None:
    file.write_text(STAGES.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        load(file)
    assert words in str(caught.value)


def test_a_folder_that_holds_something_else_is_left_alone(file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already and holds no pipeline"):
        run(file, tmp_path / "out")
    with pytest.raises(RunFolderError, match=r"mine.txt: exists already and holds no pipeline"):
        run(file, tmp_path / "out/mine.txt")
    (tmp_path / "out/mine.txt").rename(tmp_path / "out/.pipeline.json.partial")
    run(file, tmp_path / "out", extent=Extent(last="first"))


def test_another_way_to_a_served_model_changes_no_stage() -> None:
    endpoint = {"url": "http://a/v1", "name": "m", "key_variable": None, "timeout_seconds": 300.0, "max_tokens": 9}

    def made(**keys: object) -> Manifest:
        return Manifest({"judge": endpoint | keys}, {}, "1")

    assert not differences(made(), made(url="http://b/v1", timeout_seconds=1.0, key_variable="KEY"))
    assert differences(made(), made(max_tokens=8)) == ["judge.max_tokens: 9 before, 8 now"]
