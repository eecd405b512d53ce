import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from thinkwright.errors import RunFolderError
from thinkwright.run_folder import (
    append_jsonl,
    create_run_folder,
    environment,
    truncate_events,
    truncate_jsonl,
    write_bytes_atomic,
    write_json_atomic,
    write_rollouts,
)
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

RECIPE = '{"steps": 60, "task": {"type": "tiny_world", "families": ["facts"]}}\n'


def test_a_new_or_empty_folder_gets_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "b"):
        create_run_folder(folder, RECIPE, resume=False)
        assert sorted(path.name for path in folder.iterdir()) == [".lock", "recipe.json"]
        assert (folder / "recipe.json").read_text(encoding="utf-8") == RECIPE


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunFolderError, match="exists already; --resume to continue it, or --out another folder"):
        create_run_folder(tmp_path, RECIPE, resume=False)
    with pytest.raises(RunFolderError, match=r"notes\.txt: exists already"):
        create_run_folder(tmp_path / "notes.txt", RECIPE, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_a_killed_write_left_does_not_make_a_folder_taken(tmp_path: Path) -> None:
    (tmp_path / ".recipe.json.partial").write_text('{"se')
    create_run_folder(tmp_path, RECIPE, resume=False)
    assert (tmp_path / "recipe.json").is_file()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".hidden").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already"):
        create_run_folder(tmp_path / "other", RECIPE, resume=False)


def test_a_run_is_resumed_with_the_same_recipe_however_it_is_laid_out(tmp_path: Path) -> None:
    create_run_folder(tmp_path, RECIPE, resume=False)
    create_run_folder(tmp_path, json.dumps(json.loads(RECIPE), indent=4), resume=True)
    assert json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8")) == json.loads(RECIPE)


def test_resuming_with_another_recipe_lists_the_differing_keys_with_both_values(tmp_path: Path) -> None:
    create_run_folder(tmp_path, RECIPE, resume=False)
    other = {"steps": 80, "seed": 1, "task": {"type": "tiny_world", "families": ["facts", "ordering"]}}
    with pytest.raises(RunFolderError) as caught:
        create_run_folder(tmp_path, json.dumps(other), resume=True)
    text = str(caught.value)
    assert f"{tmp_path}: the run began with another recipe" in text
    assert "steps: 60 in the folder, 80 now" in text
    assert "seed: absent in the folder, 1 now" in text
    assert 'task.families: ["facts"] in the folder, ["facts", "ordering"] now' in text
    assert "task.type" not in text


def test_resuming_where_no_run_is_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            RunFolderError, match=r"no run to resume, it holds no recipe\.json; start one without --resume"
        ):
            create_run_folder(folder, RECIPE, resume=True)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "recipe.json").write_text('{"steps":', encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"recipe\.json: cannot be read"):
        create_run_folder(tmp_path, RECIPE, resume=True)


def test_an_atomic_write_makes_its_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "eval" / "step_000001.json"
    for data in ({"text": "old"}, {"text": "等等", "share": 0.5}):
        write_json_atomic(path, data)
        assert json.loads(path.read_text(encoding="utf-8")) == data
    assert "等等" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_name_changes_hands_only_after_the_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("sync"), sync(descriptor))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths))[1])
    write_bytes_atomic(tmp_path / "file", b"bytes")
    assert calls == ["sync", "replace", "sync"]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free space on that disk"), (errno.EROFS, "writable disk with --out"), (errno.EIO, "mend that")],
)
def test_a_failed_replacement_keeps_the_old_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    path = tmp_path / "summary.json"
    write_json_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunFolderError) as caught:
        write_json_atomic(path, "new")
    assert all(words in str(caught.value) for words in (str(path), os.strerror(code), remedy))
    assert json.loads(path.read_text(encoding="utf-8")) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_through_a_file_is_refused_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for write in (lambda path: write_json_atomic(path, 1), lambda path: append_jsonl(path, {})):
        with pytest.raises(RunFolderError, match=r"file/x\.json: cannot be written \(.*--out"):
            write(tmp_path / "file" / "x.json")
    with pytest.raises(RunFolderError, match="a part of the path is a file; give another folder with --out"):
        create_run_folder(tmp_path / "file" / "run", RECIPE, resume=False)


FULL_DISK = """
import resource, sys
from pathlib import Path
from thinkwright.errors import RunFolderError
from thinkwright.run_folder import append_jsonl, write_bytes_atomic, write_json_atomic
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for name, write in (
    ("whole.json", lambda path: write_json_atomic(path, "new" * 4000)),
    ("new.json", lambda path: write_bytes_atomic(path, b"x" * 100000)),
    ("rows.jsonl", lambda path: append_jsonl(path, {"step": 1, "text": "x" * 100000})),
    ("new.jsonl", lambda path: append_jsonl(path, {"step": 1, "text": "x" * 100000})),
):
    try:
        write(folder / name)
    except RunFolderError as error:
        print(error)
append_jsonl(folder / "rows.jsonl", {"step": 2})
"""


def test_a_disk_without_room_leaves_nothing_half_written(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "whole.json", "old")
    append_jsonl(tmp_path / "rows.jsonl", {"step": 0})
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for name, line in zip(("whole.json", "new.json", "rows.jsonl", "new.jsonl"), lines, strict=True):
        assert line.startswith(f"{tmp_path / name}: cannot be written (File too large); ")
        assert "--resume" in line
    assert json.loads((tmp_path / "whole.json").read_text(encoding="utf-8")) == "old"
    assert (tmp_path / "rows.jsonl").read_text(encoding="utf-8") == '{"step": 0}\n{"step": 2}\n'
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.name.startswith((".", "new"))) == 0
    assert not (tmp_path / "new.json").exists()


def test_truncation_keeps_the_whole_rows_of_earlier_steps_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    truncate_jsonl(path, 3)
    assert not path.exists()
    for step in range(5):
        append_jsonl(path, {"step": step, "loss/policy": 0.1 * step, "note": "\u2028等"})
    kept = path.read_bytes().splitlines(keepends=True)[:3]
    truncate_jsonl(path, 3)
    assert path.read_bytes() == b"".join(kept)
    for cut_off in (b'{"step": 2, "loss/po', b'{"step": 2}'):
        path.write_bytes(b"".join(kept) + cut_off)
        truncate_jsonl(path, 9)
        assert path.read_bytes() == b"".join(kept)


def test_rollouts_are_compressed_json_lines_with_the_fields_of_the_types(tmp_path: Path) -> None:
    prompt = Prompt("p1", "1+1等于几？", "text", "number", "2", "2", "r1_zero", "arithmetic", 1, "zh")
    rollout = Rollout((5, 6), (-0.5, -0.25), (-0.5, -0.25), (False, False), "等等", "stop", 3)
    group = RolloutGroup(prompt, (1, 2), (ScoredRollout(rollout, {"accuracy": 1.0}, 1.0),))
    path = tmp_path / "rollouts" / "step_000000.jsonl.zst"
    write_rollouts(path, [group, group])
    lines = zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode().splitlines()
    assert len(lines) == 2
    assert "等等" in lines[0]
    row = json.loads(lines[0])
    assert row["prompt"]["gold"] == "2"
    assert row["prompt_ids"] == [1, 2]
    assert row["members"][0]["scores"] == {"accuracy": 1.0}
    assert row["members"][0]["rollout"]["logprobs"] == [-0.5, -0.25]


def test_the_environment_tells_command_versions_and_machine() -> None:
    found = environment(["thinkwright", "run"], "cpu", "bfloat16", 2)
    assert list(found) == [
        "argv", "git", "python", "versions", "machine", "device", "dtype", "threads", "started",
    ]  # fmt: skip
    assert (found["argv"], found["device"], found["dtype"], found["threads"]) == (
        ["thinkwright", "run"],
        "cpu",
        "bfloat16",
        2,
    )
    assert found["git"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found["git"])
    assert set(found["versions"]) == {"thinkwright", "torch", "transformers", "numpy"}
    assert found["versions"]["numpy"].count(".") == 2
    assert set(found["machine"]) == {"cpu", "cores", "memory_bytes", "platform"}
    assert found["machine"]["memory_bytes"] > 1 << 28
    json.dumps(found)


def test_the_environment_is_recorded_without_git_and_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from thinkwright.run_folder import environment; "
        "print(environment([], 'cpu', 'float32', 1)['git'], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.stdout.split() == ["None", "False"]


def test_events_of_later_steps_and_half_a_line_go_and_those_without_a_step_stay(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    rows = [{"event": "started"}, {"event": "alarm", "step": 1}, {"event": "alarm", "step": 2}, {"event": "resumed"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"event": "al')
    truncate_events(path, 2)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [rows[0], rows[1], rows[3]]


def test_a_run_is_resumed_with_other_means_to_the_same_result(tmp_path: Path) -> None:
    recipe = {"optimizer": {"lr": 1e-6, "micro_batch_tokens": 8192}, "rollout": {"slots": 256}, "checkpoint_steps": 20}
    create_run_folder(tmp_path, json.dumps(recipe), resume=False)
    smaller = {"optimizer": {"lr": 1e-6, "micro_batch_tokens": 512}, "rollout": {"slots": 8}, "checkpoint_steps": 5}
    create_run_folder(tmp_path, json.dumps(smaller), resume=True)
    assert json.loads((tmp_path / "recipe.json").read_text()) == smaller, "what it goes on with is told"
    with pytest.raises(RunFolderError, match=r"optimizer.lr: 1e-06 in the folder, 1e-05 now"):
        create_run_folder(tmp_path, json.dumps(smaller | {"optimizer": {"lr": 1e-5}}), resume=True)


def test_a_run_is_resumed_with_another_way_to_its_served_models(tmp_path: Path) -> None:
    endpoint = {"url": "http://a/v1", "name": "m", "key_variable": None, "timeout_seconds": 300, "retries": 4}
    create_run_folder(tmp_path, json.dumps({"judge": endpoint}), resume=False)
    other = endpoint | {"url": "http://b/v1", "key_variable": "KEY", "timeout_seconds": 9, "retries": 0}
    create_run_folder(tmp_path, json.dumps({"judge": other}), resume=True)
    with pytest.raises(RunFolderError, match=r'judge.name: "m" in the folder, "n" now') as caught:
        create_run_folder(tmp_path, json.dumps({"judge": other | {"name": "n"}}), resume=True)
    assert "url" not in str(caught.value)
