"""Which stage's output feeds which, as a drawing and a table with the hashes that prove it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from thinkwright.report.text import MISSING, compact, escape

_ROW, _BOX_LEFT, _BOX_WIDTH, _BOX_HEIGHT, _TOP = 44, 190, 250, 32, 8
_SHOWN_OUTPUTS = 6
_SHOWN_OUTSIDE = 8
_HASH = 12  # characters of a hash that are shown


@dataclass(frozen=True)
class Node:
    """A stage as its manifest tells it."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    """Stages it takes from."""
    manifest: Mapping[str, Any]


def lineage(nodes: Sequence[Node]) -> str:
    """The drawing, then a row a stage: what it was made from, what it made, and who took that."""
    if not any(node.manifest for node in nodes):
        return ""
    drawn = _drawing(nodes) if any(node.inputs for node in nodes) else ""
    rows = "".join(_row(node, nodes) for node in nodes)
    names = ("Stage", "Made from", "From outside", "Made", "Feeds")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    told = (
        '<p class="aside">Hashes are SHA-256, the first characters of each. A stage keeps the hash of all outputs of '
        "every stage it took from; where that stage has made something else since, the line is broken and red.</p>"
    )
    table = f'<table class="stages hashes"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'{drawn}{told}<div class="scroll">{table}</div>'


def output_digest(outputs: Mapping[str, Any]) -> str:
    """Of all outputs of a stage together, as the manifests of those that take from it keep it."""
    lines = [f"{name} {_sha256(output)}" for name, output in sorted(outputs.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _drawing(nodes: Sequence[Node]) -> str:
    """A box a stage, one under the other, and an arc from each to those that take from it."""
    place = {node.name: i for i, node in enumerate(nodes)}
    arcs = [
        _arc(place[name], i, is_stale=_is_stale(node, name, nodes))
        for i, node in enumerate(nodes)
        for name in node.inputs
        if name in place
    ]
    boxes = [_box(node, _TOP + i * _ROW) for i, node in enumerate(nodes)]
    height = _TOP + len(nodes) * _ROW
    told = "; ".join(f"{node.name} takes from {', '.join(node.inputs)}" for node in nodes if node.inputs)
    size = f'viewBox="0 0 {_BOX_LEFT + _BOX_WIDTH + 8} {height}"'
    return f'<svg class="lineage" {size} role="img" aria-label="{escape(told)}">{"".join(arcs + boxes)}</svg>'


def _box(node: Node, top: int) -> str:
    return (
        f'<rect class="box" x="{_BOX_LEFT}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6"/>'
        f'<text x="{_BOX_LEFT + 12}" y="{top + 14}">{escape(node.name)}</text>'
        f'<text class="kind" x="{_BOX_LEFT + 12}" y="{top + 27}">{escape(node.kind)}</text>'
    )


def _arc(source: int, target: int, is_stale: bool) -> str:
    """From the left side of one box to that of a later one; a longer way reaches further out."""
    middle = _TOP + _BOX_HEIGHT / 2
    # Leaving a little lower and arriving a little higher keeps apart what a stage takes and what it gives.
    start, end = middle + source * _ROW + 5, middle + target * _ROW - 5
    out = max(6, _BOX_LEFT - 22 - 16 * abs(target - source))
    path = f"M{_BOX_LEFT} {start:.0f}C{out} {start:.0f} {out} {end:.0f} {_BOX_LEFT - 7} {end:.0f}"
    tip = f"M{_BOX_LEFT} {end:.0f}l-8-4v8z"
    kind = "edge stale" if is_stale else "edge"
    return f'<path class="{kind}" d="{path}"/><path class="tip" d="{tip}"/>'


def _row(node: Node, nodes: Sequence[Node]) -> str:
    inputs = _table_of(node.manifest, "inputs")
    taken = [f"{escape(name)} {_hash(inputs.get(name))}{_told_stale(node, name, nodes)}" for name in node.inputs]
    outside = [f"{escape(name)} {_hash(digest)}" for name, digest in _table_of(node.manifest, "outside").items()]
    outputs = _table_of(node.manifest, "outputs")
    made = [
        f"{escape(name)} <small>{compact(_size(output))}B</small> {_hash(_sha256(output))}"
        for name, output in outputs.items()
    ]
    whole = [f"together {_hash(output_digest(outputs))}"] if outputs else []
    feeds = [escape(other.name) for other in nodes if node.name in other.inputs]
    cells = (
        _lines(taken, len(taken)), _lines(outside, _SHOWN_OUTSIDE), _lines([*whole, *made], _SHOWN_OUTPUTS + 1),
        _lines(feeds, len(feeds)),
    )  # fmt: skip
    return f"<tr><th scope=row>{escape(node.name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _is_stale(node: Node, name: str, nodes: Sequence[Node]) -> bool:
    """Whether the stage was made from other outputs than those that ``name`` has now."""
    kept = _table_of(node.manifest, "inputs").get(name)
    now = next((_table_of(other.manifest, "outputs") for other in nodes if other.name == name), {})
    return kept is not None and bool(now) and kept != output_digest(now)


def _told_stale(node: Node, name: str, nodes: Sequence[Node]) -> str:
    return ' <span class="worse">made something else since</span>' if _is_stale(node, name, nodes) else ""


def _table_of(manifest: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What a manifest holds under a key, as far as it is a table."""
    return _as_table(manifest.get(key))


def _as_table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _sha256(output: Any) -> str:
    return str(_as_table(output).get("sha256"))


def _size(output: Any) -> float:
    size = _as_table(output).get("size")
    return float(size) if isinstance(size, int) else 0.0


def _hash(value: object) -> str:
    return MISSING if value is None else f"<code>{escape(str(value)[:_HASH])}</code>"


def _lines(lines: Sequence[str], count: int) -> str:
    """Lines of HTML under one another, the first of many."""
    more = [f"and {len(lines) - count:,} more"] if len(lines) > count else []
    return "<br>".join([*lines[:count], *more]) or MISSING
