"""Which steps and groups a page that stands alone shows: whole groups within a budget of bytes, some of each kind.

The same run gives the same choice.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from thinkwright.report.document import embedded_json
from thinkwright.report.rollout_data import (
    ROLLOUTS,
    SOURCES,
    Group,
    Source,
    alarm_steps,
    cut_group,
    read_step,
    value_of,
)
from thinkwright.report.series import Row

BUDGET_BYTES = 2_500_000
MAX_STEPS, MIN_STEPS = 12, 4
_GROUPS_A_STEP = 8  # room is made for at least so many: one of each kind
_ROLLOUTS_SHARE = 0.65
_MAX_CHARS, _MIN_CHARS = 20_000, 60
_RESERVE = 40  # bytes a step takes beside its groups, and a step's number in the list of all


def page_data(folder: Path, budget: int = BUDGET_BYTES) -> Row | None:
    """What the page's script reads, at most ``budget`` bytes as JSON; None for a run without completions.

    By source: ``steps``, all there are, and ``shown``, those chosen with the groups chosen of each.
    """
    files = {name: found for name, source in SOURCES.items() if (found := source.files(folder))}
    if not files:
        return None
    data: Row = {"live": False}
    for name, found in files.items():
        share = 1.0 if len(files) == 1 else _ROLLOUTS_SHARE if name == ROLLOUTS.name else 1 - _ROLLOUTS_SHARE
        room = int(budget * share) - 12 * len(found) - 1000
        shown = _chosen(SOURCES[name], found, alarm_steps(folder), room)
        data[name] = {"steps": list(found), "shown": {str(step["step"]): step for step in shown}}
    return data


def choose_steps(steps: Sequence[int], alarms: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of them: the first, the last, those of alarms (up to a third), the others evenly between."""
    if len(steps) <= count:
        return list(steps)
    known = set(steps)
    chosen = {steps[0], steps[-1], *_evenly([step for step in alarms if step in known], count // 3)}
    between = [step for step in _evenly(steps, count) if step not in chosen]
    return sorted(chosen | set(_evenly(between, count - len(chosen))))


def in_turns(groups: Sequence[Group], asked_again: frozenset[str], seed: int) -> list[Group]:
    """All groups, one of each kind after the other."""
    drawn = Random(seed).sample(groups, len(groups))
    ranked = [group for group in drawn if _values(group)]
    kinds = [
        [group for group in drawn if any(member.get("right") is False for member in group["members"])],
        [group for group in drawn if any("finish" in member for member in group["members"])],
        [group for group in drawn if "spread" in group],
        sorted(ranked, key=lambda group: -max(_values(group))),
        sorted(ranked, key=lambda group: min(_values(group))),
        [group for group in drawn if any("outcome" in member for member in group["members"])],
        [group for group in drawn if group["id"] in asked_again],
        drawn,
    ]
    ordered: dict[str, Group] = {}
    places = [iter(kind) for kind in kinds]
    while len(ordered) < len({group["id"] for group in groups}):
        for place in places:
            group = next((group for group in place if group["id"] not in ordered), None)
            if group is not None:
                ordered[group["id"]] = group
    return list(ordered.values())


def _chosen(source: Source, files: dict[int, Path], alarms: Sequence[int], budget: int) -> list[Row]:
    last = read_step(source, max(files), files[max(files)])
    typical = max(1, _mean_bytes(last["groups"]))
    count = min(MAX_STEPS, max(MIN_STEPS, budget // (_GROUPS_A_STEP * typical)))
    steps = [
        last if step == last["step"] else read_step(source, step, files[step])
        for step in choose_steps(list(files), alarms, count)
    ]
    often = Counter(group["id"] for step in steps for group in step["groups"])
    again = frozenset(name for name, times in often.items() if times > 1)
    room = budget // len(steps) - _RESERVE
    if source is ROLLOUTS:
        return [_filled(step, in_turns(step["groups"], again, step["step"]), room) for step in steps]
    order = [group["id"] for group in in_turns(last["groups"], again, 0)]
    return _same_questions(steps, order, room)


def _filled(step: Row, groups: Sequence[Group], room: int) -> Row:
    """The step with as many of the groups as there is room for, the first ones of ``groups`` before others."""
    kept: dict[str, Group] = {}
    for group in groups:
        fitting = _fitted(group, room // _GROUPS_A_STEP if len(kept) < _GROUPS_A_STEP else room)
        size = _bytes(fitting)
        if size <= room:
            kept[group["id"]] = fitting
            room -= size
    names = dict.fromkeys(group["id"] for group in step["groups"])
    return step | {"groups": [kept[name] for name in names if name in kept]}


def _same_questions(steps: Sequence[Row], order: Sequence[str], room: int) -> list[Row]:
    """The steps with the same questions in each, as many as there is room for in the fullest."""
    by_step = [{group["id"]: group for group in step["groups"]} for step in steps]
    kept: list[dict[str, Group]] = [{} for _ in steps]
    used = [0] * len(steps)
    for position, name in enumerate(order):
        limit = room // _GROUPS_A_STEP if position < _GROUPS_A_STEP else room
        found = [_fitted(groups[name], limit) if name in groups else None for groups in by_step]
        sizes = [0 if group is None else _bytes(group) for group in found]
        if any(size + before > room for size, before in zip(sizes, used, strict=True)):
            continue
        used = [size + before for size, before in zip(sizes, used, strict=True)]
        for groups, group in zip(kept, found, strict=True):
            groups |= {name: group} if group is not None else {}
    return [
        step | {"groups": [groups[group["id"]] for group in step["groups"] if group["id"] in groups]}
        for step, groups in zip(steps, kept, strict=True)
    ]


def _fitted(group: Group, room: int) -> Group:
    """The group, its texts cut as far as it takes to get near ``room`` bytes."""
    max_chars = _MAX_CHARS
    fitting = cut_group(group, max_chars)
    while (size := _bytes(fitting)) > room and max_chars > _MIN_CHARS:
        max_chars = max(_MIN_CHARS, min(max_chars * 9 // 10, max_chars * room // size))
        fitting = cut_group(group, max_chars)
    return fitting


def _mean_bytes(groups: Sequence[Group]) -> int:
    return sum(_bytes(cut_group(group, _MAX_CHARS)) for group in groups) // max(1, len(groups))


def _bytes(value: Any) -> int:
    return len(embedded_json(value).encode()) + 1


def _values(group: Group) -> list[float]:
    return [value for member in group["members"] if (value := value_of(member)) is not None]


def _evenly(items: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of the items, the first and the last among them if there are two."""
    if count <= 0:
        return []
    if len(items) <= count or count == 1:
        return list(items[:count])
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
