import json

from thinkwright.report.results import result_section, tiles
from thinkwright.report.series import read_run


def test_before_and_after_stand_side_by_side_with_the_change_judged(run_folder, edit):
    figures = {"accuracy": 0.25, "accuracy_standard_error": 0.02, "mean_response_tokens": 16.0, "truncated_rate": 0.01}
    edit("summary.json", before=figures, after=figures | {"accuracy": 0.75, "mean_response_tokens": 20.5})
    page = result_section(read_run(run_folder))
    assert "<td>25.0% <small>21.1 to 28.9</small></td><td>75.0%" in page
    assert '<td class="better">+50.0</td>' in page
    assert '<td>16.0</td><td>20.5</td><td class="">+4.5</td>' in page


def test_more_truncated_responses_are_judged_worse(run_folder, edit):
    edit("summary.json", before={"truncated_rate": 0.01}, after={"truncated_rate": 0.21})
    assert '<td class="worse">+20.0</td>' in result_section(read_run(run_folder))


def test_every_family_and_level_shows_length_beside_accuracy(run_folder):
    run = read_run(run_folder)
    page = result_section(run)
    tokens = [run.evaluations[i]["figures"]["tokens_by_level"]["2"] for i in (0, -1)]
    assert f"<td class=tokens>{tokens[0]:.0f} \u2192 {tokens[1]:.0f}</td>" in page.split("Level 2")[-1]
    samples = [[s for s in run.evaluations[i]["samples"] if s["family"] == "countdown"] for i in (0, -1)]
    old, new = (sum(s["response_tokens"] for s in rows) / len(rows) for rows in samples)
    assert f"<td class=tokens>{old:.0f} \u2192 {new:.0f}</td>" in page.split(">countdown<")[1]


def test_the_base_forced_and_bare_stand_beside_each_family(run_folder):
    baselines = json.loads((run_folder / "eval" / "baselines.json").read_text())
    bare, forced = (baselines[kind]["accuracy_by_family"]["ordering"] for kind in ("bare", "forced"))
    row = result_section(read_run(run_folder)).split(">ordering<")[1]
    assert f"<td class=base>{100 * bare:.0f}%</td><td class=base>{100 * forced:.0f}%</td>" in row


def test_without_baselines_their_columns_are_absent(run_folder):
    (run_folder / "eval" / "baselines.json").unlink()
    page = result_section(read_run(run_folder))
    assert "step by step" not in page
    assert ">ordering<" in page


def test_a_run_without_evaluation_says_so(run_folder):
    for path in (run_folder / "eval").iterdir():
        path.unlink()
    (run_folder / "summary.json").unlink()
    run = read_run(run_folder)
    assert "no result yet" in result_section(run)
    assert tiles(run) == ""


def test_an_unfinished_run_names_the_step_of_its_last_evaluation(run_folder):
    (run_folder / "summary.json").unlink()
    (run_folder / "eval" / "step_000060.json").unlink()
    (run_folder / "metrics.jsonl").write_text('{"step": 46}\n')
    assert "<th>Step 40</th>" in result_section(read_run(run_folder))
