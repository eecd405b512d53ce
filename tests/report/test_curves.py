import json

from thinkwright.report.curves import GROUPS, curves_section
from thinkwright.report.series import read_run
from thinkwright.report.text import escape
from thinkwright.rewards.reflection import ENGLISH_WORDS

RL = [curve for group in GROUPS for curve in group.curves if "rl" in curve.stages and not curve.is_optional]


def write_events(folder, *events):
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def test_a_full_run_gives_every_chart_with_what_it_means_and_what_is_healthy(run_folder):
    page = curves_section(read_run(run_folder))
    assert page.count('<svg class="chart"') == len(RL) - 1 + len(ENGLISH_WORDS)
    for curve in RL:
        end = "." if curve.is_split else ";"
        assert f"<h3>{curve.title}</h3><p>{escape(curve.meaning)}{end}" in page
        assert f'<p class="healthy">{escape(curve.healthy)}</p>' in page
    assert "Not measured" not in page


def test_the_four_groups_stand_in_order(run_folder):
    page = curves_section(read_run(run_folder))
    names = ("learning", "thinking", "stability", "speed")
    places = [page.index(f'<h3 class="chart-group" id="{name}">') for name in names]
    assert places == sorted(places)


def test_every_chart_says_one_thing_of_each_kind():
    for curve in (curve for group in GROUPS for curve in group.curves):
        assert not curve.meaning.endswith("."), curve.title
        assert curve.healthy[0].isupper(), curve.title
        assert curve.healthy.endswith("."), curve.title
        assert ". " not in curve.meaning + curve.healthy, curve.title


def test_the_sentence_tells_the_first_and_the_last_held_out_value(run_folder):
    run = read_run(run_folder)
    first, last = (f"{100 * run.evaluations[i]['figures']['accuracy']:.3g}%" for i in (0, -1))
    assert f"held-out: {first} at first, {last} at the end." in curves_section(run)


def test_without_training_metrics_the_held_out_curves_remain_and_the_rest_is_named(run_folder):
    (run_folder / "metrics.jsonl").unlink()
    page = curves_section(read_run(run_folder))
    for title in ("Held-out accuracy", "Several responses a question", "Response length", "Self-checking words"):
        assert f"<h3>{title}</h3>" in page
    assert "Not measured in this run: reward and its parts, spread of rewards in a group, length of right" in page
    assert 'id="speed"' not in page


def test_kl_without_a_reference_model_is_not_drawn_as_zero(run_folder, edit):
    recipe = json.loads((run_folder / "recipe.json").read_text())
    edit("recipe.json", algorithm=recipe["algorithm"] | {"kl_coef": 0.0})
    page = curves_section(read_run(run_folder))
    assert "<h3>Distance from the reference model</h3>" not in page
    assert "Not measured in this run: distance from the reference model." in page


def test_every_part_of_the_reward_has_its_line_whatever_it_is_called(run_folder):
    rows = [
        {"step": i, "reward/random": 0.5, "reward/my_own:f_<b>": 0.1, "reward/total": 0.5, "reward/failed": 0.0}
        for i in range(5)
    ]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = curves_section(read_run(run_folder)).partition("<h3>Reward and its parts</h3>")[2].partition("</figure>")[0]
    names = [part.partition("</span>")[0].partition(">")[2] for part in page.split("<span class=")[1:]]
    assert names == ["my_own:f_&lt;b&gt;", "coin toss", "total reward"]


def test_the_held_out_chart_compares_with_the_base(run_folder):
    assert ">base, answering at once<" in curves_section(read_run(run_folder))
    (run_folder / "eval" / "baselines.json").unlink()
    assert ">base, answering at once<" not in curves_section(read_run(run_folder))


def test_the_band_is_the_measured_interval_and_that_of_the_error_in_older_runs(run_folder):
    run = read_run(run_folder)
    figures = [row["figures"] for row in run.evaluations]
    assert run.held_out_band("accuracy") == tuple((f["accuracy_low"], f["accuracy_high"]) for f in figures)
    for path in (run_folder / "eval").glob("step_*.json"):
        row = json.loads(path.read_text())
        for key in ("accuracy_low", "accuracy_high"):
            del row["figures"][key]
        path.write_text(json.dumps(row))
    ends = [
        (f["accuracy"] - 1.96 * f["accuracy_standard_error"], f["accuracy"] + 1.96 * f["accuracy_standard_error"])
        for f in figures
    ]
    assert read_run(run_folder).held_out_band("accuracy") == tuple(ends)
    assert read_run(run_folder).held_out_band("format_rate") == ()


def test_alarms_and_the_guard_are_listed_and_marked_on_every_chart(run_folder):
    write_events(
        run_folder,
        {"event": "alarm", "step": 7, "text": "the reward was 0\n  for example <i>this</i>"},
        {"event": "started", "argv": ["alarm"]},
        {"event": "guard", "step": 30, "text": "hacked </title>"},
        {"event": "set_aside", "step": 3, "counts": {"failed": 1}},
    )
    run = read_run(run_folder)
    assert [(event.step, event.kind, event.text) for event in run.events] == [
        (7.0, "alarm", "the reward was 0"), (30.0, "guard", "hacked </title>"),
    ]  # fmt: skip
    page = curves_section(run)
    assert '<li class="alarm"><b>Step 7, alarm:</b> the reward was 0</li>' in page
    assert page.count('<g class="event alarm"><title>alarm at step 7: the reward was 0</title>') == len(RL) - 1
    assert page.count("guard at step 30: hacked &lt;/title&gt;") == len(RL) - 1
    assert "for example" not in page


def test_many_alarms_are_cut_and_counted(run_folder):
    write_events(run_folder, *({"event": "alarm", "step": i, "text": "again"} for i in range(400)))
    page = curves_section(read_run(run_folder))
    assert page.count("<li class=") == 50
    assert "And 350 more in events.jsonl." in page
    assert len(read_run(run_folder).warnings) == 7


def test_the_age_of_samples_has_a_chart_where_it_was_measured(run_folder):
    assert "Age of the samples" not in curves_section(read_run(run_folder))
    rows = [{"step": i, "rollout/staleness": 1.0} for i in range(5)]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "Age of the samples" in curves_section(read_run(run_folder))
