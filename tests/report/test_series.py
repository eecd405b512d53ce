import pytest

from thinkwright.errors import RunFolderError
from thinkwright.report.series import read_run


def test_a_finished_run_is_read_without_notes(run_folder):
    run = read_run(run_folder)
    assert run.notes == ()
    assert run.is_finished
    assert [row["step"] for row in run.evaluations] == [0, 20, 40, 60]
    assert (run.num_steps, run.last_step, run.wall_seconds) == (60, 60, 540.0)


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(RunFolderError, match=tmp_path.name):
        read_run(tmp_path)


def test_a_last_line_cut_in_the_middle_is_left_out_and_told(run_folder):
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "reward/acc')
    run = read_run(run_folder)
    assert len(run.metrics) == 60
    assert any("last line of metrics.jsonl" in note for note in run.notes)


def test_a_last_line_cut_inside_a_character_is_left_out(run_folder):
    with (run_folder / "metrics.jsonl").open("ab") as file:
        file.write('{"name": "等'.encode()[:-1])
    assert len(read_run(run_folder).metrics) == 60


def test_broken_lines_in_the_middle_are_counted_and_told(run_folder):
    path = run_folder / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "{", "[1]", *lines[5:]]))
    run = read_run(run_folder)
    assert len(run.metrics) == 58
    assert "2 lines of metrics.jsonl, from line 4 on, are broken and left out." in run.notes


@pytest.mark.parametrize("name", ["recipe.json", "environment.json", "metrics.jsonl", "summary.json"])
def test_each_missing_file_is_told_by_name(run_folder, name):
    (run_folder / name).unlink()
    assert [note for note in read_run(run_folder).notes if note.startswith(name)]


def test_a_broken_evaluation_is_told_and_the_others_are_read(run_folder):
    (run_folder / "eval" / "step_000040.json").write_text('{"step": 40')
    run = read_run(run_folder)
    assert [row["step"] for row in run.evaluations] == [0, 20, 60]
    assert any("step_000040.json" in note for note in run.notes)


def test_values_that_are_missing_or_not_finite_are_left_out_of_a_series(run_folder):
    rows = '{"step": 0, "policy/kl": NaN}\n{"step": 1}\n{"step": 2, "policy/kl": 0.5}\n{"step": 3, "policy/kl": null}\n'
    (run_folder / "metrics.jsonl").write_text(rows)
    assert read_run(run_folder).trained("policy/kl") == ((2.0, 0.5),)


def test_without_a_summary_before_and_after_come_from_the_first_and_last_evaluation(run_folder):
    (run_folder / "summary.json").unlink()
    run = read_run(run_folder)
    assert not run.is_finished
    assert run.before == run.evaluations[0]["figures"]
    assert run.after == run.evaluations[-1]["figures"]
    assert run.wall_seconds == pytest.approx(60 * 9.0)


def test_a_run_that_stopped_early_is_not_finished(run_folder, edit):
    path = run_folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:30]))
    edit("summary.json", steps=30, status="interrupted")
    run = read_run(run_folder)
    assert (run.is_finished, run.num_steps, run.notes) == (False, 30, ())


def test_the_summary_of_an_earlier_stop_is_not_taken_for_the_present(run_folder, edit):
    edit("summary.json", steps=30, status="interrupted", wall_seconds=1.0)
    run = read_run(run_folder)
    assert (run.num_steps, run.wall_seconds, run.summary) == (60, pytest.approx(540.0), {})
    assert "summary.json is of a stop after 30 steps; the run has gone on since." in run.notes


def test_one_evaluation_is_before_and_not_after(run_folder):
    for step in (20, 40, 60):
        (run_folder / "eval" / f"step_{step:06d}.json").unlink()
    run = read_run(run_folder)
    assert run.before
    assert run.after == {}
