"""One self-contained HTML page that tells what a run did, for someone who has never heard of GRPO."""

from collections.abc import Callable
from pathlib import Path

from thinkwright.report.aha import Reader, aha_section
from thinkwright.report.browser import rollouts_section
from thinkwright.report.browser_choice import page_data
from thinkwright.report.curves import curves_section
from thinkwright.report.document import Page, document, notes, paragraph
from thinkwright.report.examples import examples_section
from thinkwright.report.pipeline_page import is_pipeline, render_pipeline, stage_folders
from thinkwright.report.results import result_section, tiles
from thinkwright.report.series import Row, Run, read_run
from thinkwright.report.settings import settings_section
from thinkwright.report.stage_results import kept_rows_section, preference_section, sampling_section, table_section
from thinkwright.report.story import headline, how_it_learned
from thinkwright.report.text import escape
from thinkwright.report.three_pictures import pictures_section
from thinkwright.run_folder import read_rollouts, write_bytes_atomic

_Section = tuple[str, str, Callable[[Run], str]]
_RESULT: _Section = ("result", "The result", result_section)
_PICTURES: _Section = ("pictures", "The three pictures", pictures_section)
_EXAMPLES: _Section = ("examples", "The same questions, before and after", examples_section)
_OVERVIEW: _Section = ("overview", "How it went, step by step", curves_section)
_SETTINGS: _Section = ("settings", "What it was made with", settings_section)
_LEARNED_BY_REWARD = (_RESULT, _PICTURES, _EXAMPLES, _OVERVIEW, _SETTINGS)
_SECTIONS: dict[str, tuple[_Section, ...]] = {
    "pretrain": (_RESULT, _OVERVIEW, _SETTINGS),
    "rejection_sample": (
        ("result", "What was kept", sampling_section),
        ("examples", "Some of the rows", kept_rows_section),
        _OVERVIEW,
        _SETTINGS,
    ),
    "reward_model": (("result", "The result", preference_section), _OVERVIEW, _SETTINGS),
    "evaluate": (("result", "The table", table_section), _SETTINGS),
    "sft": (_RESULT, _EXAMPLES, _OVERVIEW, _SETTINGS),
    "distill": (_RESULT, _EXAMPLES, _OVERVIEW, _SETTINGS),
}
"""The sections of a page in their order, by what kind of run it is; each makes its HTML from the run alone."""


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's or a pipeline's folder, finished or not, and return its path.

    Of a pipeline, those of its stages too, which its page links to. A page appears whole or not at all. Raises
    RunFolderError for a folder that is no run or cannot be written.
    """
    path = folder / "report.html"
    if is_pipeline(folder):
        for stage in stage_folders(folder):
            write_report(stage)
    write_bytes_atomic(path, render_folder(folder).encode())
    return path


def render_folder(folder: Path) -> str:
    """The page of a run's or a pipeline's folder as text, as its files stand; nothing is written.

    Raises RunFolderError for a folder that is neither.
    """
    return render_pipeline(folder) if is_pipeline(folder) else render(read_run(folder), folder)


def render(run: Run, folder: Path) -> str:
    """The page of a run as text, with some of the completions in its folder."""
    data = page_data(folder)
    page = page_of(run, folder, data)
    return document(page.title, page.header, page.parts, data)


def page_of(run: Run, folder: Path, data: Row | None, read: Reader = read_rollouts) -> Page:
    """What the page of a run says. ``data`` is what its script will read; ``read`` reads a file of rollouts."""
    header = "\n".join(
        (
            f'<p class="run-name">Thinkwright run <b>{escape(run.name)}</b></p>',
            f"<h1>{escape(headline(run))}</h1>",
            tiles(run),
            paragraph(how_it_learned(run), "lede"),
            notes((*run.warnings, *run.notes)),
        )
    )
    parts = [(name, title, make(run)) for name, title, make in _sections(run)]
    parts[-1:-1] = [
        ("aha", "When it began to check itself", aha_section(run, folder, read)),
        ("rollouts", "Rollouts", rollouts_section(data)),
    ]
    return Page(f"{run.name}: {headline(run)}", header, parts)


def _sections(run: Run) -> tuple[_Section, ...]:
    if run.stage == "sft" and run.recipe and run.setting("task") is None:
        return (_RESULT, _OVERVIEW, _SETTINGS)
    return _SECTIONS.get(run.stage, _LEARNED_BY_REWARD)
