"""Mirrors a run by reading its folder: ``metrics.jsonl`` as it grows, and the held-out evaluations in ``eval/``.

The run folder is the interface, so one piece of code serves a run that goes on, one that has ended, and one made before
there were mirrors; and training knows nothing of any of it. At a run's side each service has a follower in a process of
its own (``pipeline/mirror.py`` starts it): a library that hangs, crashes, or installs handlers cannot touch the run,
and can be ended when the run ends.

``mirrors/SERVICE.json`` says how far a mirror has come. A step is sent once: what a resumed run does again is on its
mirrors already, with the numbers that it had the first time (on a CPU the same ones). With another project, name or
mode everything is sent there from the first step.
"""

import fcntl
import json
import os
import secrets
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thinkwright.characters import HALF_CHARACTER
from thinkwright.config.mirror import MirrorSettings, ServiceName
from thinkwright.errors import RunFolderError
from thinkwright.run_folder import RECIPE_FILE, read_json, write_json_atomic
from thinkwright.training.mirrors.mirrors import FINISHED, FOLDER, MIRRORS, Mirror, Target
from thinkwright.training.mirrors.names import field_figures, field_metrics

LOOK_SECONDS = 1.0
"""Between looks at the run folder."""
METRICS_FILE = "metrics.jsonl"
NICENESS = 10
SHOWN_COMPLETIONS = 16
SHOWN_CHARACTERS = 4000
_COLUMNS = ("question", "text", "gold", "is_correct", "response_tokens", "finish_reason")
_ENDS = (FINISHED, "interrupted")
_STARTS = ("started", "resumed")
_MAX_PROBLEM_CHARACTERS = 500

Wait = Callable[[float], bool]
"""Waits so many seconds at most; True once the run is over and nothing more will come."""


@dataclass(frozen=True)
class Standing:
    """How far a mirror has come, as ``mirrors/SERVICE.json`` has it."""

    project: str
    wanted_name: str
    mode: str
    run_id: str
    name: str = ""
    """What the service calls the run; empty until it was opened."""
    next_step: int = 0
    """The first step that is not there yet."""


@dataclass(frozen=True)
class StepRow:
    """What a mirror is sent of one step."""

    step: int
    metrics: dict[str, float]
    completions: list[dict[str, Any]]


class GrowingFile:
    """The rows of a file that grows, and that a resumed run may put another one in place of."""

    def __init__(self, path: Path) -> None:
        self._path, self._inode, self._offset = path, 0, 0

    def new_rows(self) -> list[dict[str, Any]]:
        """The whole rows since the last call; all of them, if the file is another one. Broken ones are left out."""
        try:
            with open(self._path, "rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != self._inode or stat.st_size < self._offset:
                    self._inode, self._offset = stat.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [row for line in whole.splitlines() if (row := _row(line)) is not None]


def follow(folder: Path, service: ServiceName, settings: MirrorSettings, wait: Wait) -> Standing:
    """Send what is new until the run is over; returns how far the mirror came.

    A service is opened only for something to send. Raises RunFolderError if another process mirrors the same, and
    whatever the service's library raises.
    """
    with _alone(folder, service):
        standing = _standing(folder, service, settings)
        file, mirror, is_over = GrowingFile(folder / METRICS_FILE), None, False
        while not is_over:
            is_over = wait(LOOK_SECONDS)
            steps = [_step_row(folder, row) for row in file.new_rows() if row.get("step", -1) >= standing.next_step]
            if is_over and _status(folder) == FINISHED:
                steps += _last_evaluations(folder, max([standing.next_step, *(row.step + 1 for row in steps)]))
            if not steps:
                continue
            if mirror is None:
                mirror = _open(folder, settings, service, standing)
                standing = replace(standing, name=mirror.name)
            try:
                for row in steps:
                    _send(mirror, row)
                    standing = replace(standing, next_step=row.step + 1)
            finally:
                write_json_atomic(_standing_file(folder, service), asdict(standing))
        if mirror is not None:
            mirror.finish(_status(folder))
        return standing


def has_ended(folder: Path) -> bool:
    """Whether the run says of itself that it has ended."""
    return _status(folder) in _ENDS


def _send(mirror: Mirror, row: StepRow) -> None:
    mirror.log(row.step, row.metrics)
    if row.completions:
        mirror.text(row.step, row.completions)


def _open(folder: Path, settings: MirrorSettings, service: ServiceName, standing: Standing) -> Mirror:
    target = Target(
        folder=folder / FOLDER,
        project=standing.project,
        name=standing.name or standing.wanted_name,
        run_id=standing.run_id,
        is_new=not standing.name,
        is_online=settings.mode == "online",
        recipe=read_json(folder / RECIPE_FILE) if (folder / RECIPE_FILE).exists() else {},
    )
    return MIRRORS[service](target)


def default_name(folder: Path) -> str:
    """What services call a run: as its folder is called; of a pipeline's stage, as the pipeline's and its own."""
    path = folder.resolve()
    return f"{path.parents[1].name}-{path.name}" if path.parent.name == "stages" else path.name


def _standing(folder: Path, service: ServiceName, settings: MirrorSettings) -> Standing:
    """Where to go on; from the first step if nothing was sent to this place."""
    name = settings.name or default_name(folder)
    fresh = Standing(settings.project, name, settings.mode, secrets.token_hex(4))
    path = _standing_file(folder, service)
    if not path.exists():
        return fresh
    found = Standing(**read_json(path))
    is_same = (found.project, found.wanted_name, found.mode) == (fresh.project, fresh.wanted_name, fresh.mode)
    return found if is_same else fresh


def _standing_file(folder: Path, service: ServiceName) -> Path:
    return folder / FOLDER / f"{service}.json"


@contextmanager
def _alone(folder: Path, service: ServiceName) -> Iterator[None]:
    """No two processes send the same. The lock is gone with the process that holds it."""
    path = folder / FOLDER / f".{service}.lock"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunFolderError(f"{folder}: another process sends this run to {service} already") from error
        yield


def _step_row(folder: Path, row: dict[str, Any]) -> StepRow:
    """A step's metrics, with the evaluation that was made before it, if one was."""
    path = folder / "eval" / f"step_{row['step']:06d}.json"
    figures, completions = _evaluation(path) if path.exists() else ({}, [])
    return StepRow(row["step"], field_metrics(row) | figures, completions)


def _last_evaluations(folder: Path, first: int) -> list[StepRow]:
    """Those that no step follows, of a run that is done."""
    paths = {int(path.stem.removeprefix("step_")): path for path in folder.glob("eval/step_*.json")}
    return [StepRow(step, *_evaluation(path)) for step, path in sorted(paths.items()) if step >= first]


def _evaluation(path: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    found = read_json(path)
    return field_figures(found["figures"]), _shown(found["samples"])


def _shown(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some completions spread over all, the same questions at every evaluation."""
    count = min(SHOWN_COMPLETIONS, len(samples))
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    return [{column: _short(sample[column]) for column in _COLUMNS} for sample in chosen]


def _short(value: Any) -> Any:
    """Texts of bearable length, and without half characters, which cannot be sent."""
    if not isinstance(value, str):
        return value
    text, left = HALF_CHARACTER.sub("\ufffd", value[:SHOWN_CHARACTERS]), len(value) - SHOWN_CHARACTERS
    return f"{text} ... ({left} more characters)" if left > 0 else text


def _status(folder: Path) -> str:
    """What ``events.jsonl`` says last of the run as a whole; ``running`` if it has not ended, or was killed."""
    events = [row.get("event") for row in GrowingFile(folder / "events.jsonl").new_rows()]
    last = next((event for event in reversed(events) if event in (*_ENDS, *_STARTS)), None)
    return last if last in _ENDS else "running"


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def until_closed(seconds: float) -> bool:
    """Wait for standard input to be closed: whoever started this process closes it, or is gone."""
    ready, _, _ = select.select([0], [], [], seconds)
    return bool(ready) and os.read(0, 1) == b""


def main(arguments: Sequence[str]) -> None:
    """The follower's process: ``FOLDER SERVICE SETTINGS``, the last as JSON.

    What libraries print goes where errors go. If it gives up, it ends with 1 and the reason is all that it prints.
    """
    folder, settings = Path(arguments[0]), MirrorSettings.model_validate_json(arguments[2])
    service = settings.to[[*settings.to].index(arguments[1])]
    words = os.dup(1)
    os.dup2(2, 1)
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        follow(folder, service, settings, until_closed)
    except Exception as error:  # whatever a library may raise
        traceback.print_exc()
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        os.write(words, text[:_MAX_PROBLEM_CHARACTERS].encode())
        # Not by way of what the library registered for the end: it has failed once.
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
