"""Runs the followers of ``training/mirrors/follower.py``: at a run's side, or for a folder that is there already.

A mirror never stops a run and never makes it wait, but for its end: then at most ``END_SECONDS``. One that is given up
is told of once, on the display and in ``events.jsonl``; ``metrics.jsonl`` has everything, so it can be made up for.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from thinkwright.config.kinds import Recipe
from thinkwright.config.mirror import MirrorSettings, ServiceName
from thinkwright.config.problems import problems_of
from thinkwright.errors import RecipeError, RunFolderError
from thinkwright.run_folder import append_event
from thinkwright.training.mirrors.follower import METRICS_FILE, has_ended
from thinkwright.training.mirrors.mirrors import FOLDER, how_to_look, require_libraries

END_SECONDS = 30.0
"""The longest that the end of a run waits for its mirrors, all together."""
_LOOK_SECONDS = 0.5
_FOLLOWER = "thinkwright.training.mirrors.follower"

Say = Callable[[str], None]
Tell = Callable[[ServiceName, str], None]
"""Called with a service that was given up, and why."""


class Mirrors:
    """The followers of one run, a process each. Use as a context manager around what the run does."""

    def __init__(
        self, folder: Path, settings: MirrorSettings, tell: Tell, *, at_once: bool, end_seconds: float | None
    ) -> None:
        """``at_once``: the rows are there. If not, followers start when ``metrics.jsonl`` changes: a resumed run first
        takes out of it what it will do again. ``end_seconds``: None waits as long as it takes.
        """
        self._folder, self._settings, self._tell = folder, settings, tell
        self._end_seconds = end_seconds
        self._processes: dict[ServiceName, subprocess.Popen[bytes]] = {}
        self._has_started = False
        self._before = None if at_once else self._signature()
        self._is_ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="mirrors", daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._watcher.join()
        self._look()
        try:
            self._end()
        finally:
            for process in self._processes.values():
                _kill(process)

    def is_going(self) -> bool:
        """Whether any follower may still send something."""
        return self._watcher.is_alive()

    def _watch(self) -> None:
        while not self._is_ending.wait(_LOOK_SECONDS):
            self._look()
            if self._has_started and not self._processes:
                return

    def _look(self) -> None:
        """Start the followers once there is something to send; tell of those that ended, which none does by itself."""
        if not self._has_started and self._signature() not in (None, self._before):
            self._start()
        for service, process in list(self._processes.items()):
            if process.poll() is not None:
                self._give_up(service, f"{_last_words(process)}; the run goes on")

    def _start(self) -> None:
        self._has_started = True
        for service in self._settings.to:
            command = [sys.executable, "-m", _FOLLOWER, str(self._folder), service]
            command.append(self._settings.model_dump_json(exclude_defaults=True))
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            try:
                (self._folder / FOLDER).mkdir(exist_ok=True)
                with open(self._folder / FOLDER / f"{service}.log", "ab") as log:
                    self._processes[service] = subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        env=environment,
                        start_new_session=True,
                    )
            except OSError as error:
                self._tell(service, f"does not start: {error}")

    def _end(self) -> None:
        """Let the followers send what is left and end; end those that take too long."""
        deadline = None if self._end_seconds is None else time.monotonic() + self._end_seconds
        for process in self._processes.values():
            _close(process)
        for service, process in list(self._processes.items()):
            try:
                code = process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._give_up(service, f"had not sent everything {self._end_seconds:.0f} s after the end")
                continue
            if code:
                self._give_up(service, _last_words(process))

    def _give_up(self, service: ServiceName, problem: str) -> None:
        _kill(self._processes.pop(service))
        self._tell(service, problem)

    def _signature(self) -> tuple[int, int, int] | None:
        """What changes whenever the file does; None if there is none."""
        try:
            stat = (self._folder / METRICS_FILE).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns


@contextlib.contextmanager
def mirrored(recipe: Recipe, folder: Path) -> Iterator[None]:
    """Around a run: its mirrors, if the recipe names any. Raises RecipeError at once if a library is missing."""
    settings: MirrorSettings | None = getattr(recipe, "mirror", None)
    if settings is None:
        yield
        return
    require_libraries(settings.to)
    say = partial(print, flush=True)
    for service in settings.to:
        say(f"mirror {service}: {how_to_look(service, folder, settings)}")

    def tell(service: ServiceName, problem: str) -> None:
        remedy = f"{METRICS_FILE} has everything (thinkwright mirror {folder} --to {service} sends it)"
        text = f"mirror {service}: {problem}, {remedy}"
        say(text)
        # The run itself meets a full disk, too, and says so.
        with contextlib.suppress(RunFolderError):
            append_event(folder, "mirror_given_up", text=text)

    with Mirrors(folder, settings, tell, at_once=False, end_seconds=END_SECONDS):
        yield


def check_mirrors(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises RecipeError, before the first stage runs, for a stage's mirror whose library is missing."""
    for name, table in tables.items():
        try:
            require_libraries(table.get("mirror", {}).get("to", ()))
        except RecipeError as error:
            raise RecipeError(f"{name}.{error}") from error


def mirror_folder(folder: Path, options: Mapping[str, Any], *, is_followed: bool, say: Say) -> bool:
    """Mirror a run, or all stages of a pipeline, that is there; True if all was sent.

    ``options`` are keys of MirrorSettings. ``is_followed``: go on until the run says that it has ended, or Ctrl-C.
    Raises RecipeError for options that cannot be, RunFolderError for a folder without metrics.
    """
    settings = _settings(options)
    require_libraries(settings.to)
    runs = _runs(folder)
    if is_followed and len(runs) > 1:
        raise RunFolderError(f"{folder}: holds several runs; give one to follow, such as {runs[-1]}")
    problems: list[str] = []
    for run in runs:
        tell = partial(_tell, problems, say)
        with Mirrors(run, settings, tell, at_once=True, end_seconds=None) as mirrors:
            if is_followed:
                _wait_for_end(run, mirrors)
    if not problems:
        lines = [f"{service}: {how_to_look(service, run, settings)}" for service in settings.to for run in runs]
        say("\n".join(dict.fromkeys(lines)))
    return not problems


def _wait_for_end(run: Path, mirrors: Mirrors) -> None:
    """Until the run says that it has ended, no mirror is left, or Ctrl-C: what is there is sent all the same."""
    with contextlib.suppress(KeyboardInterrupt):
        while mirrors.is_going() and not has_ended(run):
            time.sleep(_LOOK_SECONDS)


def _tell(problems: list[str], say: Say, service: ServiceName, problem: str) -> None:
    problems.append(problem)
    say(f"mirror {service}: {problem}; the same command goes on")


def _settings(options: Mapping[str, Any]) -> MirrorSettings:
    try:
        return MirrorSettings(**options)
    except ValidationError as error:
        found = [f"{key}: {problem}" if key else problem for key, problem in problems_of(error, (MirrorSettings,))]
        raise RecipeError("\n".join(found)) from error


def _runs(folder: Path) -> list[Path]:
    """The folder itself, or the stages of a pipeline that have metrics."""
    if (folder / METRICS_FILE).is_file():
        return [folder]
    runs = sorted(path.parent for path in folder.glob(f"stages/*/{METRICS_FILE}"))
    if not runs:
        raise RunFolderError(f"{folder}: holds no {METRICS_FILE}; give the folder of a run, or of a pipeline")
    return runs


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """Why a follower ended, as it said, or as its end tells."""
    assert process.stdout is not None
    words = process.stdout.read().decode(errors="replace").strip()
    return words or f"its process ended with {process.returncode}"


def _close(process: subprocess.Popen[bytes]) -> None:
    """Tell a follower that nothing more will come."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a follower, if it still runs, and what it started; close what led to it."""
    _close(process)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
