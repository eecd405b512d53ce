"""One process at a time is at work on a run folder: a second one is refused, whatever it wants to do there.

The lock is the system's own (``flock``), so it ends with the process that holds it, however that ends.
"""

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

from thinkwright.errors import RunFolderError

LOCK_FILE = ".lock"
_held: dict[Path, int] = {}
"""Open files by folder; the same process may come again."""


def hold(folder: Path) -> None:
    """Take the folder for this process, until ``release`` or its end. Raises RunFolderError if another has it.

    On a disk that knows no locks nothing is held.
    """
    place = folder.resolve()
    if place in _held:
        return
    file = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(file, 200).decode(errors="replace").strip()
        os.close(file)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return
        raise RunFolderError(
            f"{folder}: another process is at work there ({holder or 'unknown'}); wait for its end, stop it, or give "
            "--out another folder"
        ) from error
    _held[place] = file
    with contextlib.suppress(OSError):  # a full disk: who it is cannot be said
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def release(folder: Path) -> None:
    """Let others have the folder; nothing happens if this process does not hold it."""
    file = _held.pop(folder.resolve(), None)
    if file is not None:
        os.close(file)
