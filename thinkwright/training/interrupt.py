"""Ctrl-C and SIGTERM as a request to stop at the end of the step; a second one stops at once."""

import signal
from types import FrameType
from typing import Self


class StopRequest:
    """Within its ``with`` block the first signal only sets ``is_requested``."""

    def __init__(self) -> None:
        self.is_requested = False

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.is_requested = True
