"""The frame of every page: one file that loads nothing, and runs nothing but the one script it carries."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from thinkwright.report.text import escape

_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"
DATA_ID = "page-data"

Part = tuple[str, str, str]
"""A section: its anchor, its heading, its HTML."""


@dataclass(frozen=True)
class Page:
    """What a page says: its title, its header as HTML, its sections."""

    title: str
    header: str
    parts: Sequence[Part]


def document(title: str, header: str, parts: Sequence[Part], data: dict[str, Any] | None = None) -> str:
    """The page as text. ``header`` is HTML; parts without content are left out, with their links.

    ``data`` is what the script of the rollout browser reads; without it the page has no script. With a true ``live`` in
    it the page may ask the server it came from for more.
    """
    style = _file("style.css") + ("" if data is None else _file("browser.css"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(data)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{contents(header, parts)}{"" if data is None else _script(data)}
</body>
</html>
"""


def contents(header: str, parts: Sequence[Part]) -> str:
    """What the body shows: header, links and sections."""
    told = [part for part in parts if part[2]]
    sections = "\n".join(f'<section id="{name}"><h2>{heading}</h2>\n{body}\n</section>' for name, heading, body in told)
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in told)
    return f"""<header class="top">
{header}
<nav>{links}</nav>
</header>
<main>
{sections}
</main>"""


def policy(data: dict[str, Any] | None) -> str:
    """What the page may do: whatever a model wrote, no script runs but ours, and nothing is loaded."""
    if data is None:
        return _POLICY
    digest = base64.b64encode(hashlib.sha256(_code(data).encode()).digest()).decode()
    return f"{_POLICY}; script-src 'sha256-{digest}'" + ("; connect-src 'self'" if data.get("live") else "")


def embedded_json(value: Any) -> str:
    """JSON that ends no ``<script>``, and in which no character is invisible: those stand as ``\\uXXXX``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    odd = {char for char in set(text) if char == "<" or not char.isprintable()}
    return text.translate({ord(char): json.dumps(char)[1:-1] if char != "<" else "\\u003c" for char in odd})


def paragraph(text: str, kind: str) -> str:
    """A paragraph of a class; nothing for no text."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def notes(lines: Sequence[str]) -> str:
    """What a reader should know first, as a list; nothing for none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _script(data: dict[str, Any]) -> str:
    return (
        f'\n<script type="application/json" id="{DATA_ID}">{embedded_json(data)}</script>'
        f'\n<script id="browser">{_code(data)}</script>'
    )


def _code(data: dict[str, Any]) -> str:
    return _file("browser.js") + (_file("browser_live.js") if data.get("live") else "")


@cache
def _file(name: str) -> str:
    return resources.files("thinkwright.report").joinpath(name).read_text(encoding="utf-8")
