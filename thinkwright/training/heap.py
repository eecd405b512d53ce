"""What the system's allocator keeps of tensors that are gone."""

import ctypes

import psutil

MAX_GROWTH = 1.75
"""Of what is resident, since the last time all was given back. A tiny run grows by half in one step, and what it gives
back it must ask for again; at twice as much its heap has spread as far as it ever does."""


class Heap:
    """Returns memory to the system when the process holds far more than is in use.

    Tensors' sizes differ from step to step, so that glibc's heap spreads and a long run would come to hold ever more.
    Some 50 ms, and a second or two for each GB that is then taken anew.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        self._in_use = 0.0
        self._was_tidied = False

    def tidy(self) -> bool:
        """After a step: give back what is free if the process has grown; whether it was done. To look costs 20 µs."""
        resident = self._resident()
        if resident <= MAX_GROWTH * self._in_use:
            self._in_use, self._was_tidied = min(self._in_use, resident), False
            return False
        if self._was_tidied:  # one step needs so much more that it would be given back after every step
            self._in_use, self._was_tidied = resident / MAX_GROWTH, False
            return False
        self.give_back()
        self._was_tidied = True
        return True

    def give_back(self) -> None:
        """Whatever is free."""
        if self._trim is not None:
            self._trim(0)
        self._in_use = self._resident()

    def _resident(self) -> int:
        return self._process.memory_info().rss
