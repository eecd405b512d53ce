"""Text and numbers for the page: nothing a model wrote becomes markup, and nothing in it stays invisible."""

import html
import math
import unicodedata

MISSING = "\N{EN DASH}"
ARROW = "\N{RIGHTWARDS ARROW}"
_MINUS = "\N{MINUS SIGN}"
# Control, format (bidirectional, zero-width), surrogate, private, unassigned; line and paragraph separators.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def escape(value: object) -> str:
    """Any value as text for an element or a quoted attribute, hidden characters written as ``[U+202E]``."""
    return html.escape("".join(_code_point(char) if _is_hidden(char) else char for char in str(value)))


def model_text(text: str) -> str:
    """What a model wrote, as HTML for a ``<pre>``: escaped, hidden characters marked so that they stand out."""
    return "".join(_marked(char) if _is_hidden(char) else html.escape(char) for char in text)


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


def _is_hidden(char: str) -> bool:
    return char not in "\n\t" and unicodedata.category(char) in _HIDDEN_CATEGORIES


def _marked(char: str) -> str:
    return f'<span class="hidden-char" title="an invisible character">{_code_point(char)}</span>'


def _code_point(char: str) -> str:
    return f"[U+{ord(char):04X}]"
