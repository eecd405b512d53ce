import json

from thinkwright.report.curves import CURVES, curves_section
from thinkwright.report.series import read_run
from thinkwright.report.text import escape


def test_a_full_run_gives_every_chart_with_its_sentence(run_folder):
    page = curves_section(read_run(run_folder))
    told = [curve for curve in CURVES if "rl" in curve.stages]
    assert page.count('<svg class="chart"') == len(told) == 8
    assert all(f"<h3>{curve.title}</h3><p>{escape(curve.meaning)};" in page for curve in told)
    assert "Not measured" not in page


def test_the_sentence_tells_the_first_and_the_last_held_out_value(run_folder):
    run = read_run(run_folder)
    first, last = (f"{100 * run.evaluations[i]['figures']['accuracy']:.3g}%" for i in (0, -1))
    assert f"held-out: {first} at first, {last} at the end." in curves_section(run)


def test_without_training_metrics_the_held_out_curves_remain_and_the_rest_is_named(run_folder):
    (run_folder / "metrics.jsonl").unlink()
    page = curves_section(read_run(run_folder))
    assert page.count('<svg class="chart"') == 4
    assert "Not measured in this run: training reward and accuracy, distance from the reference model" in page


def test_kl_without_a_reference_model_is_not_drawn_as_zero(run_folder, edit):
    recipe = json.loads((run_folder / "recipe.json").read_text())
    edit("recipe.json", algorithm=recipe["algorithm"] | {"kl_coef": 0.0})
    page = curves_section(read_run(run_folder))
    assert "<h3>Distance from the reference model</h3>" not in page
    assert "Not measured in this run: distance from the reference model." in page


def test_random_rewards_have_their_curve(run_folder):
    rows = [{"step": i, "reward/random": 0.5, "reward/total": 0.5} for i in range(5)]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "coin toss" in curves_section(read_run(run_folder))


def test_the_held_out_chart_compares_with_the_base(run_folder):
    assert ">base, answering at once<" in curves_section(read_run(run_folder))
    (run_folder / "eval" / "baselines.json").unlink()
    assert ">base, answering at once<" not in curves_section(read_run(run_folder))
