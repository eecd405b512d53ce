"""Ctrl-C and SIGTERM as a request to stop at the end of the step; a second Ctrl-C stops at once.

SIGTERM is how a machine that is taken away says so, often half a minute ahead, which may be less than a step takes. So
it cuts short what changes nothing that a checkpoint holds: sampling, evaluations. Only an update under way is finished.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

PREEMPTED = signal.SIGTERM.name


class CutShort(BaseException):
    """SIGTERM came where work may be left undone; whoever runs the steps leaves a checkpoint."""


class StopRequest:
    """Within its ``with`` block the first signal only sets ``is_requested``."""

    def __init__(self) -> None:
        self.is_requested = False
        self.stopped_by: str | None = None
        """The signal's name."""
        self._may_cut = False

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def cutting(self) -> Iterator[None]:
        """Within this block SIGTERM raises CutShort at once."""
        if self.stopped_by == PREEMPTED:
            raise CutShort
        self._may_cut = True
        try:
            yield
        finally:
            self._may_cut = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        # Programs that take a machine away may send SIGTERM more than once.
        self.is_requested, self.stopped_by = True, signal.Signals(number).name
        if self._may_cut and self.stopped_by == PREEMPTED:
            self._may_cut = False
            raise CutShort
