"""The page of a pipeline: what each stage was, took, gave and cost, its gates, its data, and the table at the end."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from thinkwright.config.pipeline import Condition
from thinkwright.pipeline.gate import unmet
from thinkwright.report.document import Page, document, notes, paragraph
from thinkwright.report.lineage import Node, lineage
from thinkwright.report.series import Row, read_json_object
from thinkwright.report.stage_results import comparison
from thinkwright.report.text import ARROW, MISSING, duration, escape, nats, number, percent, tokens

PIPELINE_FILE = "pipeline.json"
KINDS = {
    "pretrain": "pre-training",
    "sft": "supervised fine-tuning",
    "rl": "reinforcement learning",
    "rejection_sample": "rejection sampling",
    "reward_model": "reward model",
    "distill": "distillation",
    "evaluate": "evaluation",
}
Form = Callable[[float | None, int], str]
_FIGURES: tuple[tuple[str, str, Form], ...] = (
    ("accuracy", "right answers", percent),
    ("held_out_accuracy", "told as people told", percent),
    ("format_rate", "form kept", percent),
    ("language_consistency", "one language", percent),
    ("mean_response_tokens", "tokens", tokens),
    ("held_out_loss", "held-out loss", nats),
    ("examples", "rows kept", lambda value, _: number(value)),
)
_SHOWN_FIGURES = 4
_SHAPES: dict[str, tuple[type[Any], ...]] = {
    "status": (str,), "wall_seconds": (int, float), "figures": (dict,), "before": (dict,), "after": (dict,),
}  # fmt: skip
"""What a manifest or summary holds under a key, if it has it."""


@dataclass(frozen=True)
class _Entry:
    """One stage as ``pipeline.json`` lists it."""

    name: str
    type: str
    inputs: tuple[str, ...]
    gates: tuple[Condition, ...]


_ENTRY = TypeAdapter(_Entry)


@dataclass(frozen=True)
class StageRecord:
    """One stage as its pipeline's folder tells it; absent files are empty."""

    number: int
    name: str
    kind: str
    inputs: tuple[str, ...]
    gates: tuple[Condition, ...]
    folder: Path
    manifest: Row
    summary: Row

    @property
    def status(self) -> str:
        """``not run yet`` without a manifest; ``stopped`` if it was begun and did not end."""
        if not self.manifest:
            return "not run yet"
        return "finished" if self.manifest.get("status") == "finished" else "stopped"

    @property
    def figures(self) -> Row:
        """Its last figures, which gates look at."""
        return self.manifest.get("figures") or {}


def is_pipeline(folder: Path) -> bool:
    """Whether the folder is that of a pipeline, not of a run."""
    return (folder / PIPELINE_FILE).is_file()


def stage_folders(folder: Path) -> list[Path]:
    """The run folders of the stages that have begun."""
    found = sorted((folder / "stages").glob("[0-9]*-*/"))
    return [stage for stage in found if (stage / "recipe.json").is_file()]


def render_pipeline(folder: Path) -> str:
    """The page as text."""
    page = pipeline_page(folder)
    return document(page.title, page.header, page.parts)


def pipeline_page(folder: Path) -> Page:
    """What the page says; what is missing or broken becomes a note."""
    lines: list[str] = []
    stages = read_stages(folder, lines)
    summary = read_json_object(folder / "summary.json", None, lines)
    lines = [f"{_shut(stage)}." for stage in stages if _shut(stage)] + lines
    title = _headline(stages, summary)
    header = "\n".join(
        (
            f'<p class="run-name">Thinkwright pipeline <b>{escape(folder.resolve().name)}</b></p>',
            f"<h1>{escape(title)}</h1>",
            paragraph(
                "Each stage is a run of its own that takes what earlier ones made. Between them stand gates: measured "
                "conditions without which the next stage does not start.",
                "lede",
            ),
            notes(lines),
        )
    )
    parts = [
        ("table", "The models side by side", _tables(stages)),
        ("stages", "The stages", _stage_table(stages)),
        ("gates", "The gates", _gate_table(stages)),
        ("data", "The data it made", _data_table(stages)),
        ("lineage", "What was made from what", lineage([_node(stage) for stage in stages])),
    ]
    return Page(f"{folder.resolve().name}: {title}", header, parts)


def read_stages(folder: Path, lines: list[str]) -> list[StageRecord]:
    """All stages in their order; what cannot be read is noted in ``lines``."""
    rows: Any = read_json_object(folder / PIPELINE_FILE, None, lines).get("stages") or []
    stages: list[StageRecord] = []
    for position, row in enumerate(cast("list[Any]", rows) if isinstance(rows, list) else [rows], 1):
        try:
            entry = _ENTRY.validate_python(row)
        except ValidationError:
            lines.append(f"{PIPELINE_FILE} does not say what stage {position} is, which is left out.")
            continue
        place = folder / "stages" / f"{position:02d}-{entry.name}"
        manifest = _of_shape(place.with_name(f"{place.name}.json"), lines)
        summary = _of_shape(place / "summary.json", lines)
        stages.append(
            StageRecord(position, entry.name, entry.type, entry.inputs, entry.gates, place, manifest, summary)
        )
    return stages


def _of_shape(path: Path, lines: list[str]) -> Row:
    """What a manifest or summary says; empty, with a note, if it is not of the shape of one."""
    found = read_json_object(path, None, lines)
    if all(isinstance(found[key], shape) for key, shape in _SHAPES.items() if key in found):
        return found
    lines.append(f"{path.name} is not what a stage writes and is left out.")
    return {}


def _headline(stages: list[StageRecord], summary: Row) -> str:
    done = sum(stage.status == "finished" for stage in stages)
    seconds = sum(float(stage.manifest.get("wall_seconds") or 0) for stage in stages)
    time = f", in {duration(seconds)} on this machine" if seconds else ""
    if done == len(stages):
        closed = [stage.name for stage in stages if _shut(stage)]
        if closed:
            return f"All {done} stages have run{time}, and the gate after {', '.join(closed)} is shut."
        return f"All {done} stages have run{time}."
    how = {"stopped": "Stopped", "interrupted": "Interrupted"}.get(str(summary.get("status")), "Not finished")
    return f"{how}: {done} of {len(stages)} stages have run{time}."


def _tables(stages: list[StageRecord]) -> str:
    """The tables of the stages that evaluate; the last is the pipeline's result, so it comes first."""
    found: list[str] = []
    for stage in reversed(stages):
        if stage.kind == "evaluate" and (table := comparison(read_json_object(stage.folder / "table.json", None, []))):
            found.append(f"<h3>{escape(stage.name)}</h3>{table}")
    return "".join(found)


def _stage_table(stages: list[StageRecord]) -> str:
    rows = "".join(
        f"<tr><td>{stage.number}</td><th scope=row>{_link(stage)}<small>{KINDS.get(stage.kind, escape(stage.kind))}"
        f"</small></th><td>{escape(stage.status)}</td><td>{_seconds(stage)}</td>"
        f'<td class="names">{escape(", ".join(stage.inputs)) or MISSING}</td><td>{_key_figures(stage)}</td></tr>'
        for stage in stages
    )
    names = ("", "Stage", "Status", "Time", "Takes from", "Key figures, before and after")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    return (
        f'<div class="scroll"><table class="stages"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _node(stage: StageRecord) -> Node:
    return Node(stage.name, KINDS.get(stage.kind, stage.kind), stage.inputs, stage.manifest)


def _link(stage: StageRecord) -> str:
    """Its name, with a link to its own report if it has one."""
    if not (stage.folder / "report.html").is_file():
        return escape(stage.name)
    return f'<a href="stages/{escape(quote(stage.folder.name))}/report.html">{escape(stage.name)}</a>'


def _seconds(stage: StageRecord) -> str:
    seconds = stage.manifest.get("wall_seconds") or stage.summary.get("wall_seconds")
    return duration(float(seconds)) if seconds else MISSING


def _key_figures(stage: StageRecord) -> str:
    before, after = stage.summary.get("before") or {}, stage.summary.get("after") or stage.figures
    told = [
        f"{name} {f' {ARROW} '.join(form(row[key], 1) for row in (before, after) if row.get(key) is not None)}"
        for key, name, form in _FIGURES
        if before.get(key) is not None or after.get(key) is not None
    ]
    return "<br>".join(map(escape, told[:_SHOWN_FIGURES])) or MISSING


def _gate_table(stages: list[StageRecord]) -> str:
    rows = "".join(_gate_row(stage, gate) for stage in stages for gate in stage.gates)
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{name}</th>" for name in ("After", "Figure", "Limit", "Measured", ""))
    return (
        f'<div class="scroll"><table class="stages"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _gate_row(stage: StageRecord, gate: Condition) -> str:
    limits = [
        f"{word} {limit:g}" for word, limit in (("at least", gate.min), ("at most", gate.max)) if limit is not None
    ]
    cells = f"<th scope=row>{escape(stage.name)}</th><td><code>{escape(gate.figure)}</code></td>"
    cells += f"<td>{', '.join(limits)}</td>"
    if stage.status != "finished":
        return f"<tr>{cells}<td>{MISSING}</td><td>not measured yet</td></tr>"
    value, problem = unmet(gate, stage.figures)
    verdict = '<td class="better">passed</td>' if problem is None else '<td class="worse">shut</td>'
    return f"<tr>{cells}<td>{MISSING if math.isnan(value) else f'{value:.4g}'}</td>{verdict}</tr>"


def _shut(stage: StageRecord) -> str:
    """In words, which of a finished stage's gates is shut; nothing if none is."""
    if stage.status != "finished":
        return ""
    problems = [problem for gate in stage.gates if (problem := unmet(gate, stage.figures)[1]) is not None]
    return f"The gate after {stage.name} is shut: {problems[0]}" if problems else ""


def _data_table(stages: list[StageRecord]) -> str:
    """Data sets with their counts, where they are from and who learned from them."""
    rows = "".join(
        f"<tr><th scope=row>{escape(stage.name)}/examples.jsonl</th>"
        f"<td>{escape(', '.join(stage.inputs)) or MISSING}</td><td>{_count(stage, 'sampled')}</td>"
        f"<td>{_count(stage, 'examples')}</td><td>{_count(stage, 'mixed_in')}</td>"
        f"<td>{escape(', '.join(other.name for other in stages if stage.name in other.inputs)) or MISSING}</td></tr>"
        for stage in stages
        if stage.kind == "rejection_sample"
    )
    if not rows:
        return ""
    names = ("Rows", "Sampled from", "Sampled", "Kept", "Mixed in", "Learned from by")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    return (
        f'<div class="scroll"><table class="stages"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _count(stage: StageRecord, key: str) -> str:
    value = stage.figures.get(key)
    return MISSING if value is None else f"{value:,}"
