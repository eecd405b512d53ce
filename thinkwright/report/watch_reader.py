"""What a live page shows, kept up to date: a folder is read once for all viewers, no unchanged file twice.

Metrics are read from where the last reading ended, evaluations file by file, rollouts by step when someone asks.
"""

import contextlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from thinkwright.errors import RunFolderError
from thinkwright.report.document import Page, contents, document, embedded_json, paragraph
from thinkwright.report.page import page_of
from thinkwright.report.pipeline_page import PIPELINE_FILE, pipeline_page, stage_folders
from thinkwright.report.rollout_data import SOURCES, cut_group, read_step
from thinkwright.report.series import Row, read_json_object, read_run
from thinkwright.report.text import escape
from thinkwright.run_folder import RECIPE_FILE, read_rollouts

Stamp = tuple[int, int, int] | None
"""Inode, size and time of a file; None if it is not there."""
Kind = Literal["waiting", "run", "pipeline"]
MAX_CHARS = 100_000
"""Of a text of a live page; of a longer one the middle is left out."""
_KEPT_STEPS = 16
_SHARE, _LONGEST_PAUSE = 20, 30.0  # redrawing may take a twentieth of the time, but one waits no longer than this
_FILES = {
    "metrics": ("metrics.jsonl",),
    "rollouts": ("rollouts",),
    "alarm": ("events.jsonl",),
    "status": (RECIPE_FILE, "environment.json", "doctor.json", "summary.json", "table.json", "examples.jsonl"),
    "stages": (PIPELINE_FILE, "stages"),
}
_LISTED = {"evaluation": ("eval", "step_*.json"), "stages": ("stages", "*.json")}


class MetricsTail:
    """The rows of a ``metrics.jsonl`` that grows; a part that was read is not read again unless the file is another."""

    def __init__(self) -> None:
        self._reset()

    def __call__(self, path: Path, notes: list[str]) -> tuple[Row, ...]:
        """All rows so far. A line that is not ended yet is left for the next time."""
        if not path.exists():
            self._reset()
            notes.append("metrics.jsonl is not there: no training step was recorded yet.")
            return ()
        with path.open("rb") as file:
            file.seek(self._offset - len(self._last))
            if file.read(len(self._last)) != self._last:
                self._reset()
                file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._last = line
                with contextlib.suppress(ValueError):
                    row = json.loads(line)
                    self._rows += [row] if isinstance(row, dict) and "step" in row else []
        return tuple(self._rows)

    def _reset(self) -> None:
        self._rows: list[Row] = []
        self._offset = 0
        self._last = b""


class EvaluationFiles:
    """The evaluations of a folder, each file read when it is new or was changed."""

    def __init__(self) -> None:
        self._found: dict[Path, tuple[Stamp, Row]] = {}

    def __call__(self, folder: Path, notes: list[str]) -> tuple[Row, ...]:
        """All of them in the order of steps."""
        paths = sorted(folder.glob("step_*.json"))
        self._found = {path: self._read(path, notes) for path in paths}
        whole = [row for _, row in self._found.values() if isinstance(row.get("figures"), dict) and "step" in row]
        if not whole:
            notes.append("There is no held-out evaluation yet.")
        return tuple(sorted(whole, key=lambda row: row["step"]))

    def _read(self, path: Path, notes: list[str]) -> tuple[Stamp, Row]:
        stamp = stamp_of(path)
        known = self._found.get(path)
        if known is not None and known[0] == stamp:
            return known
        return stamp, read_json_object(path, None, notes)


class Watched:
    """A folder in which a run or a pipeline is, was, or will be. Safe to be used from several threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self._clock = clock
        self._lock, self._steps_lock = threading.Lock(), threading.Lock()
        self._start = f"{time.time_ns():x}"  # so that no version of another server looks like one of this
        self._number = 0
        self._stamps: dict[str, tuple[Stamp, ...]] = {}
        self._changed_at: dict[str, int] = {}
        self._pending: set[str] = set()
        self._announced_at = self._pause = 0.0
        self._drawn: tuple[int, Page] | None = None  # with the number of the version it is of
        self._steps: OrderedDict[tuple[str, int], tuple[Stamp, bytes]] = OrderedDict()
        self._forget()
        self.scan()

    @property
    def version(self) -> str:
        """Changes whenever there is something new to show."""
        return f"{self._start}.{self._number}"

    @property
    def run_id(self) -> str:
        """Changes when another run begins in the folder."""
        return str(self._identity)

    @property
    def kind(self) -> Kind:
        """What the folder held when it was last looked at."""
        pipeline, recipe = self._identity
        return "pipeline" if pipeline is not None else "run" if recipe is not None else "waiting"

    def scan(self) -> None:
        """Look for changed files by their stamps; what changed is announced, but not faster than it can be drawn."""
        stamps = self._look()
        self._pending |= {kind for kind, found in stamps.items() if found != self._stamps.get(kind)}
        identity = stamp_of(self.folder / PIPELINE_FILE), stamp_of(self.folder / RECIPE_FILE)
        if identity != self._identity:
            with self._lock:
                self._forget(identity)
        self._stamps = stamps
        now = self._clock()
        if self._pending and now - self._announced_at >= self._pause:
            self._number += 1
            self._announced_at = now
            self._changed_at |= dict.fromkeys(self._pending, self._number)
            self._pending = set()

    def changed_since(self, version: str) -> list[str]:
        """The kinds of files that changed since a version; none if that is of another server."""
        start, _, number = version.partition(".")
        return [] if start != self._start else sorted(k for k, n in self._changed_at.items() if n > int(number))

    def html(self) -> str:
        """The whole page."""
        data = {"live": True, "version": self.version, "run": self.run_id}
        page = self._page()
        return document(page.title, page.header, page.parts, data)

    def sections(self) -> tuple[str, str]:
        """What the page's body shows, and the version it is of."""
        version = self.version
        page = self._page()
        return version, contents(page.header, page.parts)

    def steps(self, source: str) -> list[int]:
        """The steps of ``rollouts`` or ``evaluations``."""
        return list(SOURCES[source].files(self.folder))

    def step(self, source: str, step: int) -> bytes | None:
        """All groups of a step as JSON; None if there is no such step."""
        path = SOURCES[source].files(self.folder).get(step)
        if path is None:
            return None
        stamp, key = stamp_of(path), (source, step)
        with self._steps_lock:
            known = self._steps.get(key)
            if known is None or known[0] != stamp:
                row = read_step(SOURCES[source], step, path)
                groups = [cut_group(group, MAX_CHARS) for group in row["groups"]]
                known = (stamp, embedded_json(row | {"groups": groups}).encode())
            self._steps[key] = known
            self._steps.move_to_end(key)
            if len(self._steps) > _KEPT_STEPS:
                self._steps.popitem(last=False)
            return known[1]

    def stages(self) -> list[str]:
        """Folder names of a pipeline's stages that have begun."""
        return [stage.name for stage in stage_folders(self.folder)] if self.kind == "pipeline" else []

    def _forget(self, identity: tuple[Stamp, Stamp] = (None, None)) -> None:
        """Nothing that was read of another run holds."""
        self._identity = identity
        self._metrics, self._evaluations = MetricsTail(), EvaluationFiles()
        self._texts: dict[Path, tuple[Stamp, list[Row]]] = {}
        self._drawn, self._pause = None, 0.0
        with self._steps_lock:
            self._steps.clear()

    def _look(self) -> dict[str, tuple[Stamp, ...]]:
        found = {kind: tuple(stamp_of(self.folder / name) for name in names) for kind, names in _FILES.items()}
        for kind, (place, pattern) in _LISTED.items():
            paths = sorted((self.folder / place).glob(pattern))
            found[kind] = (*found.get(kind, ()), *(stamp_of(path) for path in paths))
        return found

    def _page(self) -> Page:
        """The page as of the announced version, drawn once."""
        with self._lock:
            if self._drawn is None or self._drawn[0] != self._number:
                number, start = self._number, self._clock()
                self._drawn = (number, self._draw())
                self._pause = min(_LONGEST_PAUSE, _SHARE * (self._clock() - start))
            return self._drawn[1]

    def _draw(self) -> Page:
        try:
            if self.kind == "pipeline":
                return _with_links(pipeline_page(self.folder), self.stages())
            if self.kind == "run":
                run = read_run(self.folder, self._metrics, self._evaluations)
                return page_of(run, self.folder, {"live": True}, self._read_texts)
        except (OSError, RunFolderError):  # it was deleted meanwhile
            pass
        return _waiting(self.folder)

    def _read_texts(self, path: Path) -> list[Row]:
        """Of a rollout file the questions and texts alone, read once."""
        stamp = stamp_of(path)
        if path not in self._texts or self._texts[path][0] != stamp:
            if len(self._texts) >= _KEPT_STEPS:
                self._texts.clear()
            texts = [
                {
                    "prompt": {"question": group["prompt"]["question"]},
                    "members": [
                        {"rollout": {"text": own["text"], "is_taught": own.get("is_taught", False)}}
                        for own in (member["rollout"] for member in group["members"])
                    ],
                }
                for group in read_rollouts(path)
            ]
            self._texts[path] = stamp, texts
        return self._texts[path][1]


def stamp_of(path: Path) -> Stamp:
    """What tells a changed file or folder."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _waiting(folder: Path) -> Page:
    missing = (
        f"which is not there yet: {folder}" if not folder.is_dir() else f"which holds no {RECIPE_FILE} yet: {folder}"
    )
    told = paragraph(f"This page waits for a run in a folder {missing}", "lede")
    return Page("waiting", f'<p class="run-name">Thinkwright</p><h1>Waiting for the run to begin</h1>{told}', [])


def _with_links(page: Page, stages: list[str]) -> Page:
    """The page of a pipeline with links to the live pages of its stages, the one that goes on first."""
    if not stages:
        return page
    links = [f'<a href="stages/{quote(name)}/">{escape(name)}</a>' for name in reversed(stages)]
    earlier = f"; before: {', '.join(links[1:])}" if links[1:] else ""
    return Page(page.title, f'{page.header}<p class="live">Newest stage, live: {links[0]}{earlier}</p>', page.parts)
