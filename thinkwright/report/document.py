"""The frame of every page: one file that loads nothing and runs nothing."""

from collections.abc import Sequence
from importlib import resources

from thinkwright.report.text import escape

# No script runs and nothing is loaded, whatever a model wrote.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Part = tuple[str, str, str]
"""A section: its anchor, its heading, its HTML."""


def document(title: str, header: str, parts: Sequence[Part]) -> str:
    """The page as text. ``header`` is HTML; parts without content are left out, with their links."""
    style = resources.files("thinkwright.report").joinpath("style.css").read_text(encoding="utf-8")
    told = [part for part in parts if part[2]]
    sections = "\n".join(f'<section id="{name}"><h2>{heading}</h2>\n{body}\n</section>' for name, heading, body in told)
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in told)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header class="top">
{header}
<nav>{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def paragraph(text: str, kind: str) -> str:
    """A paragraph of a class; nothing for no text."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def notes(lines: Sequence[str]) -> str:
    """What a reader should know first, as a list; nothing for none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if items else ""
