"""What a stage was made from: its recipe, earlier stages, and what lies outside the pipeline."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thinkwright.config.pipeline import Pipeline, Stage
from thinkwright.errors import RunFolderError
from thinkwright.pipeline import outside
from thinkwright.pipeline.manifest import Manifest, differences, read_manifest, write_manifest
from thinkwright.pipeline.outside import content_digest, outside_of
from thinkwright.pipeline.places import places_of, renumber


def recipe_of(folder: Path) -> dict[str, Any]:
    return {
        "type": "rl",
        "model": str(folder / "model"),
        "start": "tiny-base",
        "general": {"helpful": {"model": "@helpful", "task": {"type": "prompts", "data": ["known:identity", "none"]}}},
        "task": {"type": "named", "name": "gsm8k", "held_out": [], "data": str(folder / "sets")},
        "rewards": {"custom": [{"function": "mine.rewards:score", "weight": 1.0}]},
        "data": [str(folder / "rows.jsonl"), "hub:a/b:train", "tiny-world:careful:20"],
    }


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Whatever ``recipe_of`` names, by how a manifest calls it."""
    monkeypatch.setenv("THINKWRIGHT_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    found = {
        str(tmp_path / "model"): tmp_path / "model" / "model.safetensors",
        str(tmp_path / "rows.jsonl"): tmp_path / "rows.jsonl",
        "known:identity (identity/identity.jsonl)": tmp_path / "sets/identity/identity.jsonl",
        "mine.rewards:score": tmp_path / "mine/rewards.py",
        "gsm8k (gsm8k/train.jsonl.gz)": tmp_path / "sets/gsm8k/train.jsonl.gz",
    }
    for name, path in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return found


def test_whatever_a_recipe_names_on_this_machine_has_a_digest(files: dict[str, Path], tmp_path: Path) -> None:
    before = outside_of(recipe_of(tmp_path))
    assert set(before) == set(files)
    for name, path in files.items():
        stat = path.stat()
        path.write_text(f"{path.read_text()[:-1]}!")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        after = outside_of(recipe_of(tmp_path))
        assert {other for other in before if before[other] != after[other]} == {name}
        before = after


def test_a_large_file_is_told_by_pieces_spread_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(outside, "_PIECE_BYTES", 10)
    digests: set[str] = set()
    for number, place in enumerate((None, 0, 2500, 4999)):
        content = bytearray(range(250)) * 20
        if place is not None:
            content[max(place - 80, 0) : place + 80] = bytes(len(content[max(place - 80, 0) : place + 80]))
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes(content))
        digests.add(content_digest(path))
    assert len(digests) == 4
    (tmp_path / "copy.bin").write_bytes((tmp_path / "0.bin").read_bytes())
    assert content_digest(tmp_path / "copy.bin") == content_digest(tmp_path / "0.bin")


def test_what_changed_outside_is_told_and_what_is_gone_is_not(tmp_path: Path) -> None:
    before = Manifest({}, {}, "1", {"rows.jsonl": "a", "gone.jsonl": "b"})
    assert differences(before, replace(before, outside={"rows.jsonl": "a"})) == []
    assert differences(before, replace(before, outside={"rows.jsonl": "c"})) == ["rows.jsonl has changed"]
    write_manifest(tmp_path / "stage.json", before)
    assert read_manifest(tmp_path / "stage.json") == before


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ([], "the whole"),
        ({"recipe": {}}, "inputs"),
        ({"recipe": {}, "inputs": {}, "code": "1", "outputs": 3}, "outputs"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(row: Any, key: str, tmp_path: Path) -> None:
    path = tmp_path / "01-first.json"
    path.write_text(json.dumps(row))
    with pytest.raises(RunFolderError, match=rf"01-first.json: is no manifest of a stage \({key}: .*move it away"):
        read_manifest(path)


def pipeline_of(*names: str) -> Pipeline:
    return Pipeline("mine.toml", 0, tuple(Stage(name, {}, (), ()) for name in names))


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((folder / "stages").glob("*.json"))}


def test_what_a_stage_made_follows_it_to_its_new_number(tmp_path: Path) -> None:
    for place in places_of(pipeline_of("a", "a-b", "c"), tmp_path):
        place.folder.mkdir(parents=True)
        place.manifest.write_text(place.stage.name)
    changed = places_of(pipeline_of("c", "new", "a-b", "a"), tmp_path)
    assert renumber(changed) == [
        "c: was 03-c, is 01-c now",
        "a-b: was 02-a-b, is 03-a-b now",
        "a: was 01-a, is 04-a now",
    ]
    assert content(tmp_path) == {"01-c.json": "c", "03-a-b.json": "a-b", "04-a.json": "a"}
    assert [place.folder.is_dir() for place in changed] == [True, False, True, True]
    assert renumber(changed) == []


def test_a_renumbering_that_was_cut_off_is_ended_by_the_next(tmp_path: Path) -> None:
    [earlier] = places_of(pipeline_of("a"), tmp_path)
    [_, now] = places_of(pipeline_of("new", "a"), tmp_path)
    now.folder.mkdir(parents=True)
    earlier.manifest.write_text("a")
    renumber([now])
    assert content(tmp_path) == {"02-a.json": "a"}
