import json
import os
import shutil

import pytest

from tests.report.browser_folder import mixed_groups, write_step
from tests.report.conftest import write_json
from thinkwright.report import watch_reader
from thinkwright.report.watch_reader import EvaluationFiles, MetricsTail, Watched


def _append(folder, **row):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


class _Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def test_metrics_are_read_from_where_the_last_reading_ended(tmp_path):
    path, tail = tmp_path / "metrics.jsonl", MetricsTail()
    path.write_text('{"step": 0}\n{"step": 1}\nbroken\n{"step": 2, "reward')
    assert [row["step"] for row in tail(path, [])] == [0, 1]
    # What was read may be overwritten, except for the last line, and nobody notices: it is not read again.
    text = path.read_text().replace('{"step": 0}', '{"step": 9}')
    path.write_text(text + '/total": 1}\n')
    assert [row["step"] for row in tail(path, [])] == [0, 1, 2]


@pytest.mark.parametrize(
    "rest", ['{"step": 0, "again": 1}\n', '{"step": 5, "longer than before": "' + "x" * 500 + '"}\n', ""]
)
def test_metrics_of_another_file_are_read_anew(tmp_path, rest):
    path, tail = tmp_path / "metrics.jsonl", MetricsTail()
    path.write_text('{"step": 0}\n{"step": 1}\n')
    tail(path, [])
    path.write_text(rest)
    assert list(tail(path, [])) == [json.loads(line) for line in rest.splitlines()]


def test_metrics_that_are_gone_are_forgotten(tmp_path):
    path, tail, notes = tmp_path / "metrics.jsonl", MetricsTail(), []
    path.write_text('{"step": 0}\n')
    tail(path, notes)
    path.unlink()
    assert tail(path, notes) == ()
    assert "not there" in notes[0]


def test_an_evaluation_is_read_once_until_it_changes(tmp_path):
    files = EvaluationFiles()
    for step in (0, 5):
        write_json(tmp_path / f"step_{step:06d}.json", {"step": step, "figures": {}})
    first = files(tmp_path, [])
    write_json(tmp_path / "step_000005.json", {"step": 5, "figures": {"accuracy": 1}})
    second = files(tmp_path, [])
    assert second[0] is first[0]
    assert second[1]["figures"] == {"accuracy": 1}
    (tmp_path / "step_000000.json").unlink()
    assert [row["step"] for row in files(tmp_path, [])] == [5]


def test_each_kind_of_change_is_told(run_folder):
    watched = Watched(run_folder)
    changes = {
        "metrics": lambda: _append(run_folder, step=60),
        "evaluation": lambda: write_json(run_folder / "eval" / "step_000061.json", {"step": 61, "figures": {}}),
        "alarm": lambda: (run_folder / "events.jsonl").write_text('{"event": "alarm", "step": 3, "text": "x"}\n'),
        "status": lambda: (run_folder / "summary.json").unlink(),
        "rollouts": lambda: write_step(run_folder, 0, mixed_groups(0)),
    }
    for kind, change in changes.items():
        before = watched.version
        watched.scan()
        assert watched.version == before
        change()
        watched.scan()
        assert watched.changed_since(before) == [kind]


def test_a_page_is_drawn_once_for_all_viewers(run_folder, monkeypatch):
    drawn = []
    real = watch_reader.page_of
    monkeypatch.setattr(watch_reader, "page_of", lambda *given: drawn.append(1) or real(*given))
    watched = Watched(run_folder, _Clock())
    pages = [watched.html() for _ in range(3)] + [watched.sections()[1] for _ in range(3)]
    assert len(drawn) == 1
    assert "<h1>" in pages[0]
    _append(run_folder, step=60)
    watched.scan()
    watched.html()
    watched.html()
    assert len(drawn) == 2


def test_changes_are_announced_no_faster_than_they_can_be_drawn(run_folder):
    clock = _Clock()
    watched = Watched(run_folder, clock)
    real = watched._draw
    watched._draw = lambda: (setattr(clock, "seconds", clock.seconds + 0.5), real())[1]
    watched.html()
    before = watched.version
    for step in range(60, 63):
        _append(run_folder, step=step)
        clock.seconds += 3
        watched.scan()
    assert watched.version == before
    clock.seconds += 3
    watched.scan()
    assert watched.changed_since(before) == ["metrics"]


def test_a_run_that_begins_again_is_read_anew(run_folder):
    write_step(run_folder, 0, mixed_groups(0))
    watched = Watched(run_folder)
    assert "60 of 60" in watched.html()
    first, step = watched.run_id, watched.step("rollouts", 0)
    recipe = (run_folder / "recipe.json").read_text()
    shutil.rmtree(run_folder)
    watched.scan()
    assert watched.kind == "waiting"
    assert "Waiting for the run to begin" in watched.html()
    assert watched.step("rollouts", 0) is None
    run_folder.mkdir()
    (run_folder / "recipe.json").write_text(recipe)
    _append(run_folder, step=0)
    write_step(run_folder, 0, mixed_groups(1))
    watched.scan()
    assert watched.run_id != first
    assert "1 of 60" in watched.html()
    assert watched.step("rollouts", 0) != step


def test_a_step_is_read_once_until_its_file_changes(run_folder):
    path = write_step(run_folder, 0, mixed_groups(0))
    watched = Watched(run_folder)
    found = watched.step("rollouts", 0)
    assert json.loads(found)["of"] == 9
    assert watched.step("rollouts", 0) is found
    write_step(run_folder, 0, mixed_groups(0)[:2])
    os.utime(path, (1, 1))
    assert json.loads(watched.step("rollouts", 0))["of"] == 2
    assert watched.step("rollouts", 1) is None
    assert json.loads(watched.step("evaluations", 20))["of"] == 56


def test_a_folder_that_is_not_there_waits_and_says_for_what(tmp_path):
    watched = Watched(tmp_path / "later")
    assert watched.kind == "waiting"
    assert f"not there yet: {tmp_path}/later" in watched.html()
    (tmp_path / "later").mkdir()
    assert "holds no recipe.json yet" in Watched(tmp_path / "later").html()
