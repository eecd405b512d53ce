"""Several runs on one page: who belongs together, means and bands, final figures with intervals, differences."""

import html
import json
import os
import re
import shutil
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from tests.report.conftest import STEPS, write_json
from tests.report.test_page import MOST_BYTES, _outline
from thinkwright.cli import main
from thinkwright.errors import RunFolderError
from thinkwright.report.charts import moving_average
from thinkwright.report.compare import render_comparison, write_comparison
from thinkwright.report.compare_charts import mean_line
from thinkwright.report.compare_groups import final_figure, groups_of
from thinkwright.report.curves_form import held_out_source, trained_source
from thinkwright.report.page import write_report
from thinkwright.report.series import Run, read_run

SEEDS = (0, 1, 2)


def change(path: Path, **changes: Any) -> None:
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def shifted(figures: dict[str, Any], shift: float) -> dict[str, Any]:
    return figures | {key: figures[key] + shift for key in ("accuracy", "accuracy_low", "accuracy_high")}


def copy(source: Path, name: str, seed: int, shift: float = 0.0, **recipe: Any) -> Path:
    """A run like ``source`` with another seed: its rewards, entropies and held-out accuracies shifted."""
    folder = source.with_name(name)
    shutil.copytree(source, folder)
    change(folder / "recipe.json", seed=seed, **recipe)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    moved = [row | {"policy/entropy": row["policy/entropy"] + shift} for row in rows]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    for path in (folder / "eval").glob("step_*.json"):
        row = json.loads(path.read_text())
        write_json(path, row | {"figures": shifted(row["figures"], shift)})
    summary = json.loads((folder / "summary.json").read_text())
    summary["after"] = shifted(summary["after"], shift)
    write_json(folder / "summary.json", summary | {"seed": seed})
    return folder


@pytest.fixture
def folders(run_folder: Path) -> list[Path]:
    """Three seeds of one recipe, and one run of a recipe that differs in two settings and one that is new."""
    seeds = [copy(run_folder, f"mine-seed{seed}", seed, 0.02 * seed) for seed in SEEDS]
    recipe = json.loads((run_folder / "recipe.json").read_text())
    optimizer = recipe["optimizer"] | {"lr": 0.125, "<b>new": 7}
    return [*seeds, copy(run_folder, "other-seed0", 0, -0.3, optimizer=optimizer, template="boxed")]


def runs_of(folders: list[Path]) -> list[Run]:
    return [read_run(folder) for folder in folders]


def text_of(page: str) -> str:
    outline = _outline(page)
    assert (outline.open, outline.misplaced) == ([], [])
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2])))


def test_runs_that_differ_in_the_seed_alone_belong_together(folders: list[Path]) -> None:
    groups = groups_of(runs_of([folders[3], *folders[:3]]))
    assert [(group.label, len(group.runs)) for group in groups] == [("other", 1), ("mine", 3)]
    assert len({group.colour for group in groups}) == 2


def test_seeds_that_are_whole_pipelines_belong_together_stage_by_stage(run_folder: Path, tmp_path: Path) -> None:
    stages: list[Path] = []
    for seed in SEEDS:
        stage = tmp_path / "r1" / f"seed-{seed}" / "stages" / "02-zero"
        stage.parent.mkdir(parents=True)
        made = copy(run_folder, f"one-{seed}", seed, model=f"runs/r1/seed-{seed}/stages/01-base/model")
        stages.append(made.rename(stage))
    [group] = groups_of(runs_of(stages))
    assert group.settings["model"] == "@01-base/model"


def test_a_line_is_the_mean_of_the_seeds_and_its_band_reaches_from_the_lowest_to_the_highest(
    folders: list[Path],
) -> None:
    runs = runs_of(folders[:3])
    [group] = groups_of(runs)
    line = mean_line(group, trained_source("entropy", "policy/entropy"), 1000)
    smooth = [moving_average(run.trained("policy/entropy")) for run in runs]
    assert len(line.points) == STEPS
    assert line.points[30][1] == pytest.approx(fmean(points[30][1] for points in smooth))
    assert line.band[30] == pytest.approx((smooth[0][30][1], smooth[2][30][1]))
    held_out = mean_line(group, held_out_source("held-out", "accuracy"), 1000)
    first = [run.held_out("accuracy")[0][1] for run in runs]
    assert held_out.points[0] == (0.0, pytest.approx(fmean(first)))
    assert held_out.band[0] == pytest.approx((min(first), max(first)))


def test_seeds_of_unlike_length_are_compared_where_all_have_been(folders: list[Path]) -> None:
    path = folders[1] / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:25]))
    [group] = groups_of(runs_of(folders[:3]))
    assert mean_line(group, trained_source("entropy", "policy/entropy"), 1000).points[-1][0] == 24


def test_one_run_has_its_own_interval_as_band_and_a_thinned_line_keeps_them_together(folders: list[Path]) -> None:
    [group] = groups_of(runs_of(folders[3:]))
    line = mean_line(group, held_out_source("held-out", "accuracy"), 2)
    figures = [row["figures"] for row in group.runs[0].evaluations]
    assert len(line.points) == len(line.band) == 2
    assert line.band[0] == pytest.approx(
        (fmean(f["accuracy_low"] for f in figures[:2]), fmean(f["accuracy_high"] for f in figures[:2]))
    )
    assert mean_line(group, trained_source("entropy", "policy/entropy"), 10).band == ()


def test_final_figures_have_students_interval_over_seeds_and_their_own_of_one_run(folders: list[Path]) -> None:
    mine, other = groups_of(runs_of(folders))
    values = [run.after["accuracy"] for run in mine.runs]
    told = final_figure(mine, "accuracy")
    assert told is not None and told.ends is not None  # noqa: PT018 (narrows the type)
    half = 4.303 * stdev(values) / sqrt(3)
    assert told.ends == pytest.approx((fmean(values) - half, fmean(values) + half))
    one = final_figure(other, "accuracy")
    after = other.runs[0].after
    assert one is not None
    assert one.ends == (after["accuracy_low"], after["accuracy_high"])
    assert final_figure(other, "no_such_figure") is None


def test_the_page_tells_figures_differences_curves_and_runs(folders: list[Path]) -> None:
    write_report(folders[0])
    path = write_comparison(folders)
    assert path == folders[0].parent / "compare.html"
    page = path.read_text(encoding="utf-8")
    text = text_of(page)
    assert "4 runs of 2 recipes: mine, other" in text
    assert "3 settings differ" in text
    assert re.search(r"optimizer\.lr Learning rate after the warm-up\. \S+ 0\.125", text)
    assert "optimizer.<b>new \N{EN DASH} 7" in text
    assert "<b>new" not in page
    assert page.count('<td class="other">') == 3
    assert '<td class="worse">' in page  # the other recipe's accuracy, its interval apart
    assert "<h3>Held-out accuracy</h3>" in page
    assert "<h3>Tokens a second: sampling</h3>" in page
    assert page.count("<h3>Several responses a question: one response") == 0  # the held-out accuracy again
    assert 'href="mine-seed0/report.html"' in page
    assert "mine-seed1" in text


def test_one_recipe_has_no_differences(folders: list[Path]) -> None:
    text = text_of(render_comparison(runs_of(folders[:3]), folders[0].parent))
    assert "3 runs of one recipe: mine" in text
    assert "All runs have the same recipe, but for the seed." in text


def test_a_setting_that_is_not_set_is_a_dash_and_no_difference_to_one_that_is_not_there(run_folder: Path) -> None:
    algorithm = json.loads((run_folder / "recipe.json").read_text())["algorithm"]
    unset, two = (algorithm | {"clip_dual": value} for value in (None, 2.0))
    made = [copy(run_folder, "plain", 0), copy(run_folder, "unset", 0, algorithm=unset)]
    assert len(groups_of(runs_of(made))) == 1
    text = text_of(render_comparison(runs_of([made[1], copy(run_folder, "two", 0, algorithm=two)]), run_folder.parent))
    assert re.search(r"1 settings differ, \d+ are the same; \S where one is not set", text)
    assert re.search(r"algorithm\.clip_dual [^.]+\. \N{EN DASH} 2\.0", text)
    assert "null" not in text


def test_runs_of_other_kinds_and_unfinished_ones_are_compared_as_far_as_they_go(
    folders: list[Path], tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    write_json(bare / "recipe.json", {"type": "evaluate", "models": []})
    (folders[0] / "summary.json").unlink()
    path = write_comparison([folders[0], bare, folders[0]], tmp_path / "deep" / "page.html")
    text = text_of(path.read_text(encoding="utf-8"))
    assert "2 runs of 2 recipes: mine, bare" in text
    assert "mine-seed0: summary.json is not there" in text


def test_a_pipeline_is_refused_with_what_to_give_instead(folders: list[Path], tmp_path: Path) -> None:
    pipeline = tmp_path / "whole"
    write_json(pipeline / "pipeline.json", {"stages": []})
    write_json(pipeline / "stages" / "01-zero" / "recipe.json", {})
    with pytest.raises(RunFolderError, match=r"whole: is a pipeline.*such as .*01-zero"):
        write_comparison([folders[0], pipeline])


def test_a_comparison_of_many_recipes_stays_under_5_mb(run_folder: Path) -> None:
    """Twenty recipes; steps are thinned to the same few points, however many they are."""
    rows = (run_folder / "metrics.jsonl").read_text().splitlines()
    long = "".join(json.dumps(json.loads(rows[i % STEPS]) | {"step": i}) + "\n" for i in range(500))
    (run_folder / "metrics.jsonl").write_text(long)
    folders = [copy(run_folder, f"recipe{chr(97 + i)}", 0, steps=500 + i) for i in range(20)]
    page = render_comparison(runs_of(folders), run_folder.parent)
    assert 1_000_000 < len(page.encode()) <= MOST_BYTES


def test_the_command_writes_where_it_is_told(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "seeds.html"
    assert main(["report", *map(str, folders), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out.resolve())
    assert out.is_file()
    assert main(["report", str(folders[0]), "--out", str(out)]) == 1
    assert "--out is for several runs" in capsys.readouterr().err
    assert main(["report", str(folders[0])]) == 0
    assert os.path.isfile(folders[0] / "report.html")
