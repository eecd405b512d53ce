"""One self-contained HTML page that tells what a run did, for someone who has never heard of GRPO."""

from importlib import resources
from pathlib import Path

from thinkwright.report.curves import curves_section
from thinkwright.report.examples import examples_section
from thinkwright.report.results import result_section, tiles
from thinkwright.report.series import Run, read_run
from thinkwright.report.settings import settings_section
from thinkwright.report.story import headline, how_it_learned
from thinkwright.report.text import escape
from thinkwright.run_folder import write_bytes_atomic

_SECTIONS = (
    ("result", "The result", result_section),
    ("examples", "The same questions, before and after", examples_section),
    ("curves", "How it went, step by step", curves_section),
    ("settings", "What it was made with", settings_section),
)
# No script runs and nothing is loaded, whatever a model wrote.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into a run folder, finished or not, and return its path.

    The page appears whole or not at all. Raises RunFolderError for a folder that is no run or cannot be written.
    """
    path = run_folder / "report.html"
    write_bytes_atomic(path, render(read_run(run_folder)).encode())
    return path


def render(run: Run) -> str:
    """The page as text."""
    style = resources.files("thinkwright.report").joinpath("style.css").read_text(encoding="utf-8")
    sections = "\n".join(
        f'<section id="{name}"><h2>{title}</h2>\n{make(run)}\n</section>' for name, title, make in _SECTIONS
    )
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in _SECTIONS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(run.name)}: {escape(headline(run))}</title>
<style>
{style}</style>
</head>
<body>
<header class="top">
<p class="run-name">Thinkwright run <b>{escape(run.name)}</b></p>
<h1>{escape(headline(run))}</h1>
{tiles(run)}
{_paragraph(how_it_learned(run), "lede")}
{_notes(run)}
<nav>{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def _paragraph(text: str, kind: str) -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def _notes(run: Run) -> str:
    if not (run.warnings or run.notes):
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in (*run.warnings, *run.notes))
    return f'<ul class="notes">{items}</ul>'
