"""Mirrors at a run's side: real libraries, each in its own process, and whatever happens to them the run goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipeline.command_line import REPOSITORY, metrics, run
from tests.training.mirrored_runs import (
    HOSTILE,
    add_evaluation,
    add_steps,
    needs,
    points,
    say,
    tensorboard_holds,
    trackio_holds,
    wandb_holds,
    write_run,
)
from thinkwright.config.load import load_recipe
from thinkwright.config.mirror import MirrorSettings
from thinkwright.errors import RecipeError, RunFolderError
from thinkwright.pipeline.manifest import Manifest, differences
from thinkwright.pipeline.mirror import Mirrors, check_mirrors, mirror_folder, mirrored
from thinkwright.run_folder import check_run_folder, drop_later, read_json, write_json_atomic

TENSORBOARD = MirrorSettings(to=("tensorboard",))
THINKWRIGHT = [sys.executable, "-m", "thinkwright"]
RL = """
type = "rl"
model = "tiny-base"
steps = 2
checkpoint_steps = 1
machine = { device = "cpu", dtype = "float32", threads = 1 }
rollout = { prompts_per_step = 4, group_size = 2, max_response_tokens = 16 }
evaluation = { every_steps = 2, samples_per_question = 1 }
[task]
type = "rows"
path = "FOLDER/rows.jsonl"
held_out_path = "FOLDER/held_out.jsonl"
"""


@pytest.fixture(autouse=True)
def trackio_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where followers' trackio keeps its databases."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    return tmp_path / "trackio"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    for name, numbers in (("rows", range(8)), ("held_out", range(20, 24))):
        rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "rl.toml").write_text(RL.replace("FOLDER", str(tmp_path)))
    return tmp_path / "rl.toml"


def mirror(folder: Path, *services: str, **options: str) -> list[str]:
    """All of a folder, to these services; returns what was said."""
    said: list[str] = []
    assert mirror_folder(folder, {"to": services, **options}, is_followed=False, say=said.append), said
    return said


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def followers() -> list[psutil.Process]:
    found = psutil.Process().children()
    return [child for child in found if "thinkwright.training.mirrors.follower" in " ".join(child.cmdline())]


def given_up(folder: Path) -> list[str]:
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [row["text"] for row in rows if row["event"] == "mirror_given_up"]


def test_a_run_is_mirrored_as_it_goes_and_may_be_resumed_with_other_mirrors(recipe_file: Path, tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    command = [*THINKWRIGHT, "run", str(recipe_file), "--out", str(folder)]
    done = run([*command, "steps=2", 'mirror.to=["tensorboard"]'])
    assert f"mirror tensorboard: tensorboard --logdir {folder}/mirrors/tensorboard\n" in done.stdout
    scalars, texts = tensorboard_holds(folder)
    rows = metrics(folder)
    assert scalars["train/completions/mean_length"] == [
        (row["step"], pytest.approx(row["rollout/response_tokens"])) for row in rows
    ]
    assert {"train/reward", "train/rewards/accuracy/mean", "train/loss", "time/rollout_seconds"} <= scalars.keys()
    assert [step for step, _ in scalars["eval/accuracy"]] == [0, 2]
    assert len(texts["eval/completions/text_summary"]) == 2
    assert json.loads(texts["recipe/text_summary"][0])["mirror"]["to"] == ["tensorboard"]
    assert not followers()
    run([*command, "--resume"])
    run(
        [*command, "--resume", 'mirror.to=["tensorboard", "trackio"]', "mirror.project=x"],
        expect=int(not has("trackio")),
    )
    assert "seed" in run([*command, "--resume", "seed=1"], expect=1).stderr


def has(service: str) -> bool:
    from importlib.util import find_spec

    spec = find_spec(service)
    return spec is not None and spec.origin is not None


def test_a_library_that_is_missing_is_told_before_anything_runs(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    (tmp_path / "rl.toml").write_text(recipe_file.read_text().replace("tiny-base", str(tmp_path / "no model")))
    command = [*THINKWRIGHT, "run", str(recipe_file), "--out", str(tmp_path / "run"), 'mirror.to=["wandb"]']
    refused = run(command, expect=1).stderr
    assert refused == (
        "thinkwright: mirror.to: wandb not installed; pip install 'thinkwright[mirrors]', or name others\n"
    )
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match=r"^late\.mirror\.to: wandb not installed"):
        check_mirrors({"early": {"type": "rl"}, "late": {"type": "sft", "mirror": {"to": ["wandb"]}}})
    assert "wandb not installed" in run([*THINKWRIGHT, "mirror", str(tmp_path), "--to", "wandb"], expect=1).stderr


def test_a_folder_of_that_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    (tmp_path / "trackio").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(RecipeError, match="trackio not installed"):
        check_mirrors({"a": {"mirror": {"to": ["trackio"]}}})


def test_mirrors_change_no_manifest_and_no_run(tmp_path: Path) -> None:
    folder, text = tmp_path / "run", '{"seed": 0, "mirror": null, "task": {"mirror": 1}}'
    write_json_atomic(folder / "recipe.json", json.loads(text))
    with_mirror: dict[str, Any] = json.loads(text) | {"mirror": {"to": ["wandb"], "project": "p", "mode": "online"}}
    check_run_folder(folder, json.dumps(with_mirror), resume=True)
    assert differences(Manifest(json.loads(text), {}, "1"), Manifest(with_mirror, {}, "1")) == []
    old = {"seed": 0, "task": {"mirror": 1}}
    assert differences(Manifest(old, {}, "1"), Manifest(with_mirror, {}, "1")) == []
    # Only the recipe's own key is left out.
    other = with_mirror | {"task": {"mirror": 2}}
    assert differences(Manifest(with_mirror, {}, "1"), Manifest(other, {}, "1")) == ["task.mirror: 1 before, 2 now"]
    with pytest.raises(RunFolderError, match=r"task\.mirror"):
        check_run_folder(folder, json.dumps(other), resume=True)


@pytest.mark.parametrize("service", ["tensorboard", "trackio", "wandb"])
def test_a_run_that_stopped_is_mirrored_and_goes_on_there_each_step_once(
    service: str, tmp_path: Path, trackio_folder: Path
) -> None:
    needs(service)
    folder = tmp_path / "run"
    write_json_atomic(folder / "recipe.json", {"type": "rl", "optimizer": {"lr": 1e-4}})
    say(folder, "started")
    add_evaluation(folder, 0)
    add_steps(folder, *range(5))
    say(folder, "interrupted")
    mirror(folder, service)
    mirror(folder, service)
    say(folder, "resumed")
    drop_later(folder, 3)
    add_steps(folder, 3, 4, 5)
    add_evaluation(folder, 6)
    say(folder, "finished")
    mirror(folder, service)
    scalars = {
        "tensorboard": lambda: tensorboard_holds(folder)[0],
        "trackio": lambda: points(trackio_holds(trackio_folder / "thinkwright.db")["run"]),
        "wandb": lambda: points(wandb_holds(folder)),
    }[service]()
    assert scalars["train/reward"] == [(step, step / 8) for step in range(6)]
    assert scalars["eval/accuracy"] == [(0, 0.0), (6, 1.5)]
    assert scalars["eval/completions/mean_length"] == [(0, 9.5), (6, 9.5)]
    assert read_json(folder / "mirrors" / f"{service}.json")["next_step"] == 7


def test_a_growing_run_reaches_trackio_and_wandb_with_its_texts(tmp_path: Path, trackio_folder: Path) -> None:
    needs("trackio")
    needs("wandb")
    folder = tmp_path / "run"
    write_json_atomic(folder / "recipe.json", {"type": "rl", "optimizer": {"lr": 1e-4}})
    settings = MirrorSettings(to=("trackio", "wandb"), project="p", name="mine")
    problems: list[tuple[str, str]] = []
    with Mirrors(folder, settings, lambda *found: problems.append(found), at_once=False, end_seconds=60):
        add_evaluation(folder, 0, HOSTILE)
        add_steps(folder, 0)
        wait_until(lambda: trackio_folder.exists() and trackio_holds(trackio_folder / "p.db"))
        add_steps(folder, 1)
    assert problems == []
    [(name, rows)] = trackio_holds(trackio_folder / "p.db").items()
    assert name == "mine"
    assert points(rows)["train/reward"] == [(0, 0.0), (1, 0.125)]
    [table] = [row["eval/completions"] for _, row in rows if "eval/completions" in row]
    assert "&lt;script&gt;" in table["_value"][0]["text"]
    assert "<script>" not in json.dumps(rows)
    assert points(wandb_holds(folder))["train/reward"] == [(0, 0.0), (1, 0.125)]
    [stored] = (folder / "mirrors" / "wandb").glob("offline-run-*/files/media/table/eval/*.json")
    assert "<script>" in stored.read_text()


def test_a_second_run_of_the_same_name_is_told_apart_by_trackio(tmp_path: Path, trackio_folder: Path) -> None:
    needs("trackio")
    for place in ("a", "b"):
        mirror(write_run(tmp_path / place / "run", 2), "trackio")
    found = trackio_holds(trackio_folder / "thinkwright.db")
    assert found.keys() == {"run", "run-2"}
    assert points(found["run-2"])["train/reward"] == [(0, 0.0), (1, 0.125)]


def test_a_mirror_that_raises_is_told_of_once_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    recipe = load_recipe("tiny/r1-zero", ['mirror.to=["tensorboard"]'])
    with mirrored(recipe, folder):
        say(folder, "started")
        (folder / "mirrors").mkdir()
        (folder / "mirrors" / "tensorboard").write_text("in the way")
        add_steps(folder, 0)
        wait_until(lambda: given_up(folder))
        add_steps(folder, 1)
    [text] = given_up(folder)
    assert text.startswith("mirror tensorboard: ")
    assert "; the run goes on, metrics.jsonl has everything (thinkwright mirror " in text
    assert capsys.readouterr().out.count(text) == 1
    assert "Traceback" in (folder / "mirrors" / "tensorboard.log").read_text()
    (folder / "mirrors" / "tensorboard").unlink()
    mirror(folder, "tensorboard")
    assert [step for step, _ in tensorboard_holds(folder)[0]["train/reward"]] == [0, 1]


def test_trackio_that_cannot_write_is_given_up_though_it_only_warns(tmp_path: Path, trackio_folder: Path) -> None:
    needs("trackio")
    (trackio_folder / "thinkwright.db").mkdir(parents=True)
    said: list[str] = []
    folder = write_run(tmp_path / "run")
    assert not mirror_folder(folder, {"to": ["trackio"]}, is_followed=False, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("mirror trackio: ")


def test_a_mirror_that_hangs_is_waited_for_and_named(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    problems: list[tuple[str, str]] = []
    with Mirrors(folder, TENSORBOARD, lambda *found: problems.append(found), at_once=False, end_seconds=1.5):
        add_steps(folder, 0)
        wait_until(followers)
        [follower] = followers()
        os.kill(follower.pid, signal.SIGSTOP)
        start = time.monotonic()
    assert 1.5 <= time.monotonic() - start < 10
    assert problems == [("tensorboard", "had not sent everything 2 s after the end")]
    assert not follower.is_running()


def test_one_that_dies_without_a_word_is_told_of(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    problems: list[tuple[str, str]] = []
    with Mirrors(folder, TENSORBOARD, lambda *found: problems.append(found), at_once=False, end_seconds=30):
        add_steps(folder, 0)
        wait_until(followers)
        followers()[0].kill()
        wait_until(lambda: problems)
    assert problems == [("tensorboard", "its process ended with -9; the run goes on")]


def test_a_killed_run_leaves_a_mirror_that_is_whole_and_no_process(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.training.mirrored_runs import add_steps\n"
        "from thinkwright.config.load import load_recipe; from thinkwright.pipeline.mirror import mirrored\n"
        "with mirrored(load_recipe('tiny/r1-zero', ['mirror.to=[\"tensorboard\"]']), Path(sys.argv[1])):\n"
        "    add_steps(Path(sys.argv[1]), *range(9))\n"
        "    time.sleep(100)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    wait_until(lambda: psutil.Process(process.pid).children())
    [follower] = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    wait_until(lambda: not follower.is_running())
    assert [step for step, _ in tensorboard_holds(folder)[0]["train/reward"]] == list(range(9))


def test_a_run_without_a_row_starts_nothing(tmp_path: Path) -> None:
    recipe = load_recipe("tiny/r1-zero", ['mirror.to=["tensorboard"]'])
    needs("tensorboard")
    with pytest.raises(ZeroDivisionError), mirrored(recipe, tmp_path / "run"):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()


def test_the_verb_takes_runs_and_pipelines_and_follows(tmp_path: Path) -> None:
    needs("tensorboard")
    stages = tmp_path / "pipeline" / "stages"
    for name in ("01-zero", "02-tuned"):
        write_run(stages / name, 2)
    (stages / "03-table").mkdir()
    command = [*THINKWRIGHT, "mirror", str(tmp_path / "pipeline"), "--to", "tensorboard"]
    said = run(command).stdout.splitlines()
    assert said == [
        f"tensorboard: tensorboard --logdir {stages}/{n}/mirrors/tensorboard" for n in ("01-zero", "02-tuned")
    ]
    assert len(tensorboard_holds(stages / "02-tuned")[0]["train/reward"]) == 2
    assert "give one to follow" in run([*command, "--follow"], expect=1).stderr
    assert (
        "holds no metrics.jsonl" in run([*THINKWRIGHT, "mirror", str(stages), "--to", "tensorboard"], expect=1).stderr
    )
    wrong = run([*command, "--project", "a/b"], expect=1).stderr
    assert "project" in wrong
    run([*THINKWRIGHT, "mirror", str(stages / "01-zero"), "--to", "tensorboard", "--follow"])


def test_following_by_hand_ends_with_the_run(tmp_path: Path) -> None:
    needs("tensorboard")
    folder = tmp_path / "run"
    say(folder, "started")
    add_steps(folder, 0)
    command = [*THINKWRIGHT, "mirror", str(folder), "--to", "tensorboard", "--follow"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: (folder / "mirrors" / "tensorboard.json").exists())
    add_steps(folder, 1, 2)
    assert process.poll() is None
    say(folder, "finished")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "tensorboard --logdir" in output
    assert [step for step, _ in tensorboard_holds(folder)[0]["train/reward"]] == [0, 1, 2]
