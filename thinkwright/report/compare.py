"""One page about several runs: seeds of a recipe together, recipes side by side."""

import os
from collections.abc import Sequence
from pathlib import Path

from thinkwright.errors import RunFolderError
from thinkwright.report.compare_charts import charts_section
from thinkwright.report.compare_groups import RunGroup, groups_of
from thinkwright.report.compare_tables import differences_table, figures_table, runs_table
from thinkwright.report.document import document, notes, paragraph
from thinkwright.report.pipeline_page import is_pipeline, stage_folders
from thinkwright.report.series import Run, read_run
from thinkwright.report.text import escape
from thinkwright.run_folder import write_bytes_atomic

_MAX_NOTES = 12


def write_comparison(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write one page about several runs, by default ``compare.html`` in the nearest folder around them all.

    Raises RunFolderError for a folder that is no run, for a pipeline's, and for a file that cannot be written.
    """
    found = list({folder.resolve(): folder for folder in folders}.values())
    for folder in found:
        if is_pipeline(folder):
            stages = stage_folders(folder)
            such_as = f", such as {stages[0]}" if stages else ""
            raise RunFolderError(f"{folder}: is a pipeline, and only runs are compared; give its stages{such_as}")
    path = out if out is not None else _around(found) / "compare.html"
    page = render_comparison([read_run(folder) for folder in found], path.parent)
    write_bytes_atomic(path, page.encode())
    return path


def render_comparison(runs: Sequence[Run], place: Path) -> str:
    """The page as text. ``place``: the folder it will lie in, which its links start from."""
    groups = groups_of(runs)
    title = _headline(groups)
    lines = [f"{run.name}: {line}" for run in runs for line in (*run.warnings, *run.notes)]
    more = [f"And {len(lines) - _MAX_NOTES:,} more, on the runs' own pages."] if len(lines) > _MAX_NOTES else []
    header = "\n".join(
        (
            '<p class="run-name">Thinkwright comparison</p>',
            f"<h1>{escape(title)}</h1>",
            paragraph("Runs whose recipes differ in nothing but the seed are told together.", "lede"),
            notes([*lines[:_MAX_NOTES], *more]),
        )
    )
    parts = [
        ("figures", "Final figures", figures_table(groups)),
        ("differences", "How the recipes differ", differences_table(groups)),
        ("overview", "How it went, step by step", charts_section(groups)),
        ("runs", "The runs", runs_table(groups, place)),
    ]
    return document(title, header, parts)


def _headline(groups: Sequence[RunGroup]) -> str:
    num_runs = sum(len(group.runs) for group in groups)
    if len(groups) == 1:
        return f"{num_runs} runs of one recipe: {groups[0].label}"
    return f"{num_runs} runs of {len(groups)} recipes: {', '.join(group.label for group in groups)}"


def _around(folders: Sequence[Path]) -> Path:
    """The nearest folder around all of them; where that is the root of the file system, the present one."""
    common = Path(os.path.commonpath([folder.resolve().parent for folder in folders]))
    return Path.cwd() if common == Path(common.anchor) else common
