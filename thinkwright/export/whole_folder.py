"""A folder that appears under its name only when all of it is written and checked."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from thinkwright.errors import RunFolderError
from thinkwright.run_folder import is_empty


def check_free(folder: Path) -> None:
    """Raises RunFolderError if there is something at that place already."""
    if not is_empty(folder):
        raise RunFolderError(f"{folder}: exists already; remove it, or give another folder with --out")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes its name at the end; nothing is left of it if something fails.

    Files are readable as any others of the user, and on the disk before the name appears. Raises RunFolderError if it
    cannot be written, and lets other errors through.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        _settle(partial)
        if folder.is_dir():
            shutil.rmtree(folder)  # empty, as was checked, but for what a killed write left
        os.replace(partial, folder)
    except (OSError, SafetensorError) as error:
        raise RunFolderError(f"{folder}: cannot be written ({error}); free space there or give --out") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _settle(folder: Path) -> None:
    """safetensors makes its file for the owner alone, and nothing is on the disk yet."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
