"""Checkpoints: damaged ones are found and passed over, the wanted ones stay, what is not finite is never written."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from thinkwright.config.checkpointed import KeptCheckpoints
from thinkwright.display import Display
from thinkwright.errors import ModelError, RunFolderError, TrainingError
from thinkwright.training.checkpoint import (
    Progress,
    load_checkpoint_weights,
    newest_checkpoint,
    read_tensors,
    save_checkpoint,
    tell_damage,
)


def write(folder: Path, step: int, kept: KeptCheckpoints | None = None) -> Path:
    tensors = {"masters/a": torch.full((300,), float(step)), "exp_avg/a": torch.arange(5.0)}
    progress = Progress(step, step, 0, 0.0)
    return save_checkpoint(folder, progress, tensors, kept=kept or KeptCheckpoints())


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def tensors_file(checkpoint: Path) -> Path:
    return next(checkpoint.glob("*.safetensors"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one bit of a weight": lambda folder: flip(tensors_file(folder)),
    "the end of a file": lambda folder: shorten(tensors_file(folder)),
    "a whole file": lambda folder: tensors_file(folder).unlink(),
    "the progress": lambda folder: (folder / "progress.json").write_text("{"),
    "the checksums": lambda folder: (folder / "SHA256SUMS").unlink(),
    "the checksums' text": lambda folder: (folder / "SHA256SUMS").write_text(""),
    "a name in the checksums": lambda folder: (folder / "SHA256SUMS").write_bytes(b"0  a\0\n"),
    "all files": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_told_of(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    write(folder, 2)
    DAMAGES[what](write(folder, 4))
    found = newest_checkpoint(folder)
    assert found is not None
    assert (found.path.name, found.progress.next_step) == ("step_000002", 2)
    assert found.notes[0].startswith("checkpoint step_000004 is damaged (")
    assert sorted(path.name for path in folder.iterdir()) == ["damaged_step_000004", "step_000002"]
    into = {"masters/a": torch.zeros(300)}
    read_tensors(found.path, into)
    assert into["masters/a"][7] == 2
    tell_damage(tmp_path, found, Display(is_shown=False))
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["damaged_checkpoint"]
    DAMAGES[what](write(folder, 4))  # the resumed run comes there again
    assert newest_checkpoint(folder) is not None


def test_without_a_whole_checkpoint_a_run_does_not_go_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    flip(tensors_file(write(tmp_path, 2)))
    for _ in range(2):  # whoever starts it again by itself is told the same
        with pytest.raises(RunFolderError, match=r"no checkpoint is whole .*delete .*damaged_\* and --resume to begin"):
            newest_checkpoint(tmp_path)
    shutil.rmtree(tmp_path / "damaged_step_000002")
    assert newest_checkpoint(tmp_path) is None


def test_a_disk_that_cannot_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 2)

    def stale(*_: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("hashlib.file_digest", stale)
    with pytest.raises(RunFolderError, match=r"step_000002: cannot be read .*Stale file handle.*mend the disk"):
        newest_checkpoint(tmp_path)
    monkeypatch.undo()
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.notes == ()


def test_weights_of_a_damaged_checkpoint_are_never_served(tmp_path: Path) -> None:
    path = write(tmp_path, 2)
    assert load_checkpoint_weights(path)["a"][0] == 2
    flip(tensors_file(path))
    with pytest.raises(ModelError, match="is not what was written"):
        load_checkpoint_weights(path)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_checksums_are_what_sha256sum_checks(tmp_path: Path) -> None:
    path = write(tmp_path, 2)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=path, capture_output=True, check=False
    )
    assert done.returncode == 0
    names = {line.split("  ")[1] for line in (path / "SHA256SUMS").read_text().splitlines()}
    assert names == {file.name for file in path.iterdir()} - {"SHA256SUMS"}


def evaluated(folder: Path, step: int, **figures: float) -> None:
    path = folder.parent / "eval" / f"step_{step:06d}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"figures": figures}))


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (KeptCheckpoints(), [10, 12]),
        (KeptCheckpoints(last=1), [12]),
        (KeptCheckpoints(last=1, every_steps=4), [4, 8, 12]),
        (KeptCheckpoints(last=1, best=True), [4, 12]),
        (KeptCheckpoints(last=3, every_steps=6, best=True), [4, 6, 8, 10, 12]),
    ],
)
def test_checkpoints_are_kept_by_rule(kept: KeptCheckpoints, expected: list[int], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for step, accuracy in ((2, 0.1), (4, 0.9), (6, 0.5), (8, 0.9), (10, 0.2), (12, 0.3)):
        write(folder, step, kept)
        evaluated(folder, step, accuracy=accuracy)
    assert sorted(int(path.name.removeprefix("step_")) for path in folder.glob("step_*")) == expected


def test_without_a_task_the_best_has_the_lowest_loss(tmp_path: Path) -> None:
    folder, kept = tmp_path / "checkpoints", KeptCheckpoints(last=1, best=True)
    for step, loss in ((2, 0.9), (4, 0.2), (6, 0.5), (8, 0.7)):
        write(folder, step, kept)
        evaluated(folder, step, held_out_loss=loss)
    assert sorted(path.name for path in folder.glob("step_*")) == ["step_000004", "step_000008"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_written(value: float, tmp_path: Path) -> None:
    tensors = {"masters/a": torch.ones(3), "masters/b": torch.tensor([1.0, value])}
    with pytest.raises(TrainingError, match="masters/b holds values that are not finite, so no checkpoint is written"):
        save_checkpoint(tmp_path, Progress(2, 2, 0, 0.0), tensors)
    assert list(tmp_path.iterdir()) == []
