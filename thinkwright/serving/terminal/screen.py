"""How a reply is shown as it comes: on a terminal with a live part, elsewhere as plain text."""

import sys
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol, TextIO

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from thinkwright.characters import with_controls_shown
from thinkwright.serving.terminal.client import End
from thinkwright.serving.terminal.deltas import Piece
from thinkwright.serving.terminal.markdown import last_lines, markdown, num_complete

Shows = Literal["auto", "open", "closed"]
"""Thoughts: live and then folded; kept; not shown."""
TAIL_LINES = 8
"""Lines of a thought that are seen while it goes on and will be folded."""
WAS_THOUGHT = "(what was shown so far was thought: the server's template had begun it, and only its end came)"
_FRAMES = 8


@dataclass
class ShownReply:
    """A reply as far as it came."""

    name: str
    thought: str = ""
    answer: str = ""
    end: End | None = None
    """None: stopped, or failed."""
    started_at: float = field(default_factory=time.monotonic)
    thought_at: float | None = None
    """When the first word of the thought came, seconds of the monotonic clock; None: no thought yet."""
    answer_at: float | None = None
    ended_at: float | None = None

    def add(self, piece: Piece) -> None:
        """One more piece."""
        now = time.monotonic()
        if piece.was_thought:
            self.thought, self.answer = self.thought + self.answer, ""
            self.thought_at, self.answer_at = self.answer_at or self.started_at, None
        if piece.kind == "thought":
            self.thought += piece.text
            self.thought_at = self.thought_at or now
        else:
            self.answer += piece.text
            self.answer_at = self.answer_at or now
        self.ended_at = now

    def thought_label(self) -> str:
        """Such as ``Thought for 3.2 s, 184 tokens``; the count once the server has told it."""
        until = self.answer_at or self.ended_at or time.monotonic()
        count = self.end.usage.thought if self.end else None
        tokens = f", {count:,} tokens" if count is not None else ""
        unfinished = "" if self.answer_at else " (not finished)"
        return f"Thought for {until - (self.thought_at or until):.1f} s{tokens}{unfinished}"

    def summary(self) -> str:
        """Tokens and speed, as far as the server told them."""
        usage = self.end.usage if self.end else None
        if usage is None or usage.completion is None:
            return ""
        parts = [f"{usage.completion:,} tokens"]
        if usage.thought is not None and self.thought:
            parts = [f"{usage.thought:,} tokens of thought", f"{usage.completion - usage.thought:,} of answer"]
        since = self.thought_at or self.answer_at
        if since and self.ended_at and self.ended_at > since and usage.completion > 1:
            parts.append(f"{(usage.completion - 1) / (self.ended_at - since):.0f} tokens/s")
        return ", ".join(parts)


class Writer(Protocol):
    """Where a reply is shown."""

    def begin(self, reply: ShownReply) -> None:
        """It was asked for."""
        ...

    def add(self, piece: Piece) -> None:
        """A piece came, and is in the reply."""
        ...

    def finish(self) -> None:
        """No more will come."""
        ...

    def note(self, text: str) -> None:
        """One line that is no part of a reply."""
        ...


class Plain:
    """The answer to one stream, all else to another; what is no terminal is given the exact text."""

    def __init__(self, shows: Shows, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._shows, self._out, self._err = shows, out or sys.stdout, err or sys.stderr
        self._reply = ShownReply("")
        self._num_written = 0

    def begin(self, reply: ShownReply) -> None:
        """See ``Writer``."""
        self._reply, self._num_written = reply, 0

    def add(self, piece: Piece) -> None:
        """See ``Writer``. A program that reads the answer has it whole, once it is certain that it is no thought."""
        if piece.was_thought:
            self.note(WAS_THOUGHT)
        elif piece.kind == "thought" and self._shows != "closed":
            _write(self._err, piece.text)
        elif piece.kind == "answer" and self._out.isatty():
            _write(self._out, piece.text)

    def finish(self) -> None:
        """See ``Writer``."""
        reply = self._reply
        if reply.thought:
            lead = "\n" if self._shows != "closed" else ""
            _write(self._err, f"{lead}{reply.thought_label()}\n")
        _write(self._out, "\n" if self._out.isatty() else f"{reply.answer}\n" if reply.answer else "")

    def note(self, text: str) -> None:
        """See ``Writer``."""
        _write(self._err, f"{text}\n")


class Screen:
    """A terminal: the thought dimmed, the answer's Markdown rendered, and a live part for what is not whole yet."""

    def __init__(self, shows: Shows, console: Console | None = None) -> None:
        self._shows, self._console = shows, console or Console(highlight=False, emoji=False)
        self._reply = ShownReply("")
        self._spinner = Spinner("dots", style="dim")
        self._live: Live | None = None
        self._tail = ""
        self._has_label = self._has_block = False

    def begin(self, reply: ShownReply) -> None:
        """See ``Writer``."""
        self._reply, self._tail = reply, ""
        self._has_label = self._has_block = False
        live = Live(
            console=self._console, get_renderable=self._view, transient=True, refresh_per_second=_FRAMES,
            redirect_stdout=False, redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        self._live = live
        live.start()

    def add(self, piece: Piece) -> None:
        """See ``Writer``."""
        if piece.was_thought:
            self._end_answer()
            self._dim(WAS_THOUGHT)
            self._has_block = False
        if piece.kind == "thought":
            self._tail += piece.text
            if self._shows == "open":
                self._keep_thought(self._tail.rfind("\n") + 1)
            return
        if not self._has_label and self._reply.thought:
            self._end_thought()
        self._tail += piece.text
        if "\n" in piece.text:
            self._keep_answer(num_complete(self._tail))

    def finish(self) -> None:
        """See ``Writer``."""
        if self._live is None:
            return
        if self._reply.thought and not self._has_label:
            self._end_thought()
        self._end_answer()
        live, self._live = self._live, None
        live.stop()
        if summary := self._reply.summary():
            self._dim(summary)

    def note(self, text: str) -> None:
        """See ``Writer``."""
        self._dim(text)

    def thought(self, text: str) -> None:
        """A whole thought, for who asks to see it again."""
        self._dim(text)

    def _view(self) -> ConsoleRenderable:
        """The live part; asked for again and again by rich's own thread."""
        reply, now, tail = self._reply, time.monotonic(), self._tail
        room = max(1, self._console.height - 3)
        if reply.answer_at is not None:
            return last_lines(self._console, markdown(tail), room) if tail.strip() else Text()
        if reply.thought_at is None:
            self._spinner.update(
                text=Text(f"Waiting for {with_controls_shown(reply.name)} {now - reply.started_at:.0f} s")
            )
            return self._spinner
        self._spinner.update(text=Text(f"Thinking {now - reply.thought_at:.1f} s"))
        if self._shows == "closed":
            return self._spinner
        # A long thought is not laid out anew in every frame: its end is all that is seen.
        shown = Text(with_controls_shown(tail[-room * self._console.width :]), style="dim")
        return Group(last_lines(self._console, shown, min(room, TAIL_LINES)), self._spinner)

    def _keep_thought(self, size: int) -> None:
        if text := self._taken(size).rstrip("\n"):
            self._dim(text)

    def _keep_answer(self, size: int) -> None:
        if (text := self._taken(size)).strip():
            if self._has_block:
                self._console.print()
            self._has_block = True
            self._console.print(markdown(text))

    def _end_thought(self) -> None:
        if self._shows == "open":
            self._keep_thought(len(self._tail))
        self._tail = ""
        self._has_label = True
        self._dim(self._reply.thought_label(), style="dim italic")
        self._console.print()

    def _end_answer(self) -> None:
        self._keep_answer(len(self._tail))

    def _taken(self, size: int) -> str:
        text, self._tail = self._tail[:size], self._tail[size:]
        return text

    def _dim(self, text: str, style: str = "dim") -> None:
        self._console.print(Text(with_controls_shown(text), style=style))


def _write(stream: TextIO, text: str) -> None:
    stream.write(with_controls_shown(text) if stream.isatty() else text)
    stream.flush()
