"""Imports of torch and what needs it, without a search for garbage among what they make: all of it stays.

They make about a million objects. Python would look through them again and again while they are loaded, whenever a
run's own garbage is looked for, and once more at the end of the process.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Around imports: if torch comes with them, what there is at their end is never looked through for garbage.

    Where torch was there before, nothing is set aside: the process may have worked, and garbage may be among it.
    """
    had_torch, was_enabled = "torch" in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not had_torch and "torch" in sys.modules:
            gc.freeze()
        if was_enabled:
            gc.enable()
