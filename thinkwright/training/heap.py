"""What the system's allocator keeps of tensors that are gone."""

import ctypes

import psutil

MAX_GROWTH = 1.75
"""Of what is resident, since the last time all was given back. A tiny run grows by half in one step, and what it gives
back it must ask for again; at twice as much its heap has spread as far as it ever does."""


class Heap:
    """Returns memory to the system when the process holds far more than is in use.

    Tensors' sizes differ from step to step, so that glibc's heap spreads and a long run would come to hold ever more.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        self._in_use = 0

    def tidy(self) -> bool:
        """Give back what is free if the process has grown since; whether it was done. To look costs some 20 µs, to
        give back some 50 ms."""
        if self._trim is None or self._resident() <= MAX_GROWTH * self._in_use:
            return False
        self._trim(0)
        self._in_use = self._resident()
        return True

    def _resident(self) -> int:
        return self._process.memory_info().rss
