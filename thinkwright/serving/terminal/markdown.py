"""Markdown of a model on a terminal: rendered block by block as it comes; nothing in it acts on the terminal."""

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment, Segments

from thinkwright.characters import with_controls_shown

_FENCE = re.compile(r" {0,3}(```|~~~)")
_CODE = re.compile(r"(?s)(^ {0,3}(?:```|~~~).*|`[^`\n]+`)", re.MULTILINE)
# Markdown takes the backslash of LaTeX's \( \[ \{ \\ for its own, and 2*3*4 for emphasis.
_LATEX = re.compile(r"\\(?=[\\()\[\]{},;!|])|(?<=[\w)])\*(?=[\w(])")


class Shown:
    """Something rendered, its control characters written out: Markdown can bring some in as entities (``&#x202E;``)."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich asks for."""
        for segment in console.render(self._inner, options):
            text = segment.text if segment.control else with_controls_shown(segment.text)
            yield Segment(text, segment.style, segment.control)


def markdown(text: str) -> Shown:
    """An answer as it is shown; links as text, for a label must not hide where it leads."""
    parts = _CODE.split(with_controls_shown(text))
    shielded = [part if i % 2 else _LATEX.sub(r"\\\g<0>", part) for i, part in enumerate(parts)]
    return Shown(Markdown("".join(shielded), hyperlinks=False))


def num_complete(text: str) -> int:
    """How many characters at the beginning are whole blocks, which nothing that follows can change.

    A block is whole once a line that is not indented stands after the blank line behind it, outside a fence.
    """
    complete = position = 0
    fence, was_blank = "", False
    for line in text.splitlines(keepends=True):
        if was_blank and not fence and not line[0].isspace():
            complete = position
        if found := _FENCE.match(line):
            fence = "" if fence == found[1] else fence or found[1]
        was_blank = not line.strip()
        position += len(line)
    return complete


def last_lines(console: Console, renderable: ConsoleRenderable, count: int) -> Segments:
    """The last lines of what is rendered: a live area must not be higher than the terminal."""
    lines = console.render_lines(renderable, console.options, pad=False)[-count:]
    return Segments(_joined(lines))


def _joined(lines: Iterable[list[Segment]]) -> Iterable[Segment]:
    for line in lines:
        yield from line
        yield Segment.line()
