"""How much memory a stretch of work adds, seen from outside the allocators: resident memory of the process."""

import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")


def _status_bytes(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


class PeakMemory:
    """The peak of resident memory from its creation on, and how far that lies above where it began.

    What was freed but not yet returned to the system is returned first, so that it hides nothing.
    """

    def __init__(self) -> None:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # Sets VmHWM, the high-water mark, to the present value.
        self._before = _status_bytes("VmRSS")

    def measured(self) -> dict[str, int]:
        """Bytes at the peak, and the part of them that was not there before."""
        peak = _status_bytes("VmHWM")
        return {"update_peak_rss_bytes": peak, "update_added_bytes": peak - self._before}
