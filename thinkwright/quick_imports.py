"""Imports of large libraries, without a search for garbage among what they make: all of it stays.

Torch and transformers make about a million objects. Python would look through them again and again while they are
loaded, whenever a run's own garbage is looked for, and once more at the end of the process.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Around imports, at the begin of a process: what there is at their end is never looked through for garbage.

    Where everything was imported before, nothing is set aside: of a process that has worked, garbage may be among it.
    """
    num_modules, was_enabled = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > num_modules:
            gc.freeze()
        if was_enabled:
            gc.enable()
