"""Text and numbers for the page: nothing a model wrote becomes markup, and nothing in it stays invisible."""

import html
import math
import unicodedata
from collections.abc import Iterable

from thinkwright.characters import code_point

MISSING = "\N{EN DASH}"
ARROW = "\N{RIGHTWARDS ARROW}"
_MINUS = "\N{MINUS SIGN}"
SHOWN_BYTES = 20_000
"""HTML of one text of a model; a page shows a hundred such at most."""
# Control, format (bidirectional, zero-width), surrogate, private, unassigned; line and paragraph separators.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def escape(value: object) -> str:
    """Any value as text for an element or a quoted attribute, hidden characters written as ``[U+202E]``."""
    return html.escape("".join(code_point(char) if _is_hidden(char) else char for char in str(value)))


def model_text(text: str, limit: int | None = SHOWN_BYTES) -> str:
    """What a model wrote, as HTML for a ``<pre>``: escaped, hidden characters marked so that they stand out.

    HTML of more than ``limit`` bytes is cut in the middle, and the cut told: the page must stay small whatever was
    written, and both ends of a text are worth more than its middle.
    """
    if limit is None:
        return "".join(map(_as_html, text))
    head = _fitting(text, limit)
    if len(head) == len(text):
        return "".join(head)
    head = _fitting(text, limit // 2)
    tail = _fitting(reversed(text[len(head) :]), limit // 2)
    left_out = len(text) - len(head) - len(tail)
    told = f'<span class="left-out">[{left_out:,} characters left out]</span>'
    return f"{''.join(head)}{told}{''.join(reversed(tail))}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share between 0 and 1, as a percentage."""
    return MISSING if value is None or math.isnan(value) else f"{100 * value:.{digits}f}%"


def tokens(value: float | None, digits: int = 1) -> str:
    """A mean number of tokens."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def nats(value: float | None, digits: int = 1) -> str:
    """A loss, always to three digits."""
    return MISSING if value is None else f"{value:.3f}"


def number(value: float | None) -> str:
    """Three significant digits, whole numbers from 100 on, without a trailing exponent for common sizes."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def compact(value: float) -> str:
    """A large number as one would say it: 950, 12K, 3.4M."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def signed(value: float | None, digits: int = 1) -> str:
    """A change with its sign."""
    if value is None:
        return MISSING
    text = f"{abs(value):.{digits}f}"
    if not float(text):
        return text
    return f"{'+' if value > 0 else _MINUS}{text}"


def duration(seconds: float) -> str:
    """A time as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _fitting(characters: Iterable[str], limit: int) -> list[str]:
    """HTML of the first characters that take no more than ``limit`` bytes together."""
    found: list[str] = []
    size = 0
    for char in characters:
        shown = _as_html(char)
        size += len(shown.encode())
        if size > limit:
            break
        found.append(shown)
    return found


def _as_html(char: str) -> str:
    return _marked(char) if _is_hidden(char) else html.escape(char)


def _is_hidden(char: str) -> bool:
    return char not in "\n\t" and unicodedata.category(char) in _HIDDEN_CATEGORIES


def _marked(char: str) -> str:
    return f'<span class="hidden-char" title="an invisible character">{code_point(char)}</span>'
