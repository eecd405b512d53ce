"""Where a run's metrics can be shown beside its own page: TensorBoard, trackio, Weights & Biases.

Each class wraps one library, imports it when it is opened and nowhere else, and lives in the follower's process
(``follower.py``), so it may change that process's environment. What a library raises is let through: the
follower gives the mirror up and says why.
"""

import html
import importlib
import importlib.util
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from thinkwright.config.mirror import MirrorSettings, ServiceName
from thinkwright.errors import RecipeError

FOLDER = "mirrors"
"""In the run folder: what the mirrors keep there, and how far each has come."""
FINISHED = "finished"
TEXTS = "eval/completions"
"""What the table of held-out completions is called."""
_FLAWS = re.compile("failed|could not", re.IGNORECASE)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """What a mirror is opened for."""

    folder: Path
    """The mirrors' folder in the run folder."""
    project: str
    name: str
    """What the service is to call the run."""
    run_id: str
    """What the service knew the run by before, or is to know it by."""
    is_new: bool
    """False: the run is there, and goes on."""
    is_online: bool
    recipe: dict[str, Any]
    """The resolved recipe, for the service to show."""


class Mirror(Protocol):
    """One service, open for one run. Steps come in rising order, each once."""

    name: str
    """What the service calls the run; it may have chosen another name than it was given."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """The numbers of a step."""
        ...

    def text(self, step: int, rows: Sequence[Row]) -> None:
        """A table of completions, every row with the same keys."""
        ...

    def finish(self, status: str) -> None:
        """Hand over what is left; ``status`` as ``events.jsonl`` has it."""
        ...


class TensorBoardMirror:
    """Event files in ``mirrors/tensorboard``, a new one each time the run goes on."""

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self._event: Any = importlib.import_module("tensorboard.compat.proto.event_pb2").Event
        self._summary: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2")
        self._tensor: Any = importlib.import_module("tensorboard.compat.proto.tensor_pb2").TensorProto
        writer: Any = importlib.import_module("tensorboard.summary.writer.event_file_writer")
        self._writer = writer.EventFileWriter(str(target.folder / "tensorboard"))
        if target.is_new:
            self._write(0, [self._text("recipe", _block(json.dumps(target.recipe, indent=2, ensure_ascii=False)))])

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """The numbers of a step, on the disk when it returns."""
        self._write(step, [self._summary.Summary.Value(tag=tag, simple_value=x) for tag, x in metrics.items()])

    def text(self, step: int, rows: Sequence[Row]) -> None:
        """A table of completions in Markdown, every text a block of code, so that nothing in it is markup."""
        parts = [f"**{name}**\n\n{_block(str(value))}" for row in rows for name, value in row.items()]
        self._write(step, [self._text(TEXTS, "\n\n".join(parts))])

    def finish(self, status: str) -> None:
        """Close the file."""
        self._writer.close()

    def _text(self, tag: str, markdown: str) -> Any:
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="text")
        tensor = self._tensor(dtype="DT_STRING", string_val=[markdown.encode()])
        tensor.tensor_shape.dim.add(size=1)
        metadata = self._summary.SummaryMetadata(plugin_data=plugin)
        return self._summary.Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)

    def _write(self, step: int, values: Sequence[Any]) -> None:
        summary = self._summary.Summary(value=values)
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()


class TrackioMirror:
    """trackio's own database on this machine (``TRACKIO_DIR``, or below the Hugging Face cache).

    A run that goes on is told by its name, so a name that the project has already is given a number.
    """

    def __init__(self, target: Target) -> None:
        # Without these trackio asks the Hub who is there, or sends everything to a Space or a server.
        os.environ["HF_HUB_OFFLINE"] = "1"
        for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            os.environ.pop(variable, None)
        self._trackio: Any = importlib.import_module("trackio")
        self.name = _free_name(target.name, self._names(target.project)) if target.is_new else target.name
        # It complains by warnings, also from its threads, and goes on.
        self._watch = warnings.catch_warnings(record=True)
        self._warnings: list[warnings.WarningMessage] = self._watch.__enter__() or []
        warnings.simplefilter("always")
        self._run = self._trackio.init(
            target.project,
            name=self.name,
            config=target.recipe,
            resume="never" if target.is_new else "allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """The numbers of a step; they are in the database about half a second later."""
        self._run.log(dict(metrics), step=step)
        self._heed_warnings()

    def text(self, step: int, rows: Sequence[Row]) -> None:
        """A table of completions, escaped: its page takes texts for Markdown with HTML in it."""
        safe = [
            {key: html.escape(x, quote=False) if isinstance(x, str) else x for key, x in row.items()} for row in rows
        ]
        self._run.log({TEXTS: self._trackio.Table(data=safe)}, step=step)
        self._heed_warnings()

    def finish(self, status: str) -> None:
        """Wait until all is in the database."""
        self._run.finish()
        self._watch.__exit__(None, None, None)
        self._heed_warnings()

    def _names(self, project: str) -> set[str]:
        try:
            return {run.name for run in self._trackio.Api().runs(project)}
        except ValueError:  # no such project yet
            return set()

    def _heed_warnings(self) -> None:
        """Raises RuntimeError with what trackio said that it could not do."""
        texts = [str(warning.message) for warning in self._warnings]
        if flaws := [text for text in texts if _FLAWS.search(text)]:
            raise RuntimeError(flaws[0])


class WandbMirror:
    """A run of Weights & Biases: offline below ``mirrors/wandb``, or sent at once.

    Offline a run that goes on is another folder with the same id, which ``wandb sync`` puts together.
    """

    def __init__(self, target: Target) -> None:
        if not target.is_online:
            os.environ["WANDB_ERROR_REPORTING"] = "false"  # else its crashes are sent
        self._wandb: Any = importlib.import_module("wandb")
        target.folder.mkdir(parents=True, exist_ok=True)
        self.name = target.name
        self._run = self._wandb.init(
            project=target.project,
            name=target.name,
            id=target.run_id,
            dir=str(target.folder),
            config=target.recipe,
            mode="online" if target.is_online else "offline",
            resume="allow" if target.is_online else None,
            settings=self._wandb.Settings(
                console="off", disable_code=True, disable_git=True, save_code=False, x_disable_stats=True
            ),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """The numbers of a step."""
        self._run.log(dict(metrics), step=step)

    def text(self, step: int, rows: Sequence[Row]) -> None:
        """A table of completions, one for each evaluation."""
        columns = list(rows[0])
        table = self._wandb.Table(columns=columns, data=[[row[column] for column in columns] for row in rows])
        self._run.log({TEXTS: table}, step=step)

    def finish(self, status: str) -> None:
        """Write, or send, what is left."""
        self._run.finish(exit_code=0 if status == FINISHED else 1)


MIRRORS: dict[ServiceName, Callable[[Target], Mirror]] = {
    "tensorboard": TensorBoardMirror,
    "trackio": TrackioMirror,
    "wandb": WandbMirror,
}


def require_libraries(services: Iterable[str]) -> None:
    """Raises RecipeError for services whose libraries are not there."""
    # A folder that happens to be called wandb is found, too, but has no file of its own.
    specs = {name: importlib.util.find_spec(name) for name in services}
    if missing := [name for name, spec in specs.items() if spec is None or spec.origin is None]:
        raise RecipeError(
            f"mirror.to: {' and '.join(missing)} not installed; pip install 'thinkwright[mirrors]', or name others"
        )


def how_to_look(service: ServiceName, folder: Path, settings: MirrorSettings) -> str:
    """What a person does to see a run folder's mirror."""
    if service == "tensorboard":
        return f"tensorboard --logdir {folder / FOLDER / service}"
    if service == "trackio":
        return f"trackio show --project {settings.project}"
    if settings.mode == "online":
        return f"its page in the project {settings.project}"
    return f"to send it: wandb sync {folder / FOLDER / service}"


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _block(text: str) -> str:
    """A block of code in Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines() or [""])
