"""A plan as people read it."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from thinkwright.planning.memory import ACTIVATIONS, CACHE
from thinkwright.planning.plan import Plan

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def headline(plan: Plan) -> str:
    """What was planned, and from what."""
    return f"{plan.name}: {plan.num_steps:,.0f} steps on {_devices(plan)}, by {plan.known_by}"


def memory_table(plan: Plan) -> Table:
    """Of each device by part."""
    table = Table()
    table.add_column("")
    for need, _ in plan.memory:
        table.add_column(need.device, justify="right")
    for name in dict.fromkeys(name for need, _ in plan.memory for name in need.parts):
        table.add_row(name, *(_bytes(need.parts[name]) if name in need.parts else "" for need, _ in plan.memory))
    table.add_section()
    table.add_row("at most at one time", *(_bytes(need.peak) for need, _ in plan.memory))
    table.add_row("there is", *(_bytes(need.capacity) for need, _ in plan.memory))
    return table


def fit_lines(plan: Plan) -> Iterator[str]:
    """What fits, and what does not, a line or two for each kind of device."""
    for need, fit in plan.memory:
        if fit.first_too_much:
            yield f"{need.device}: does not fit; the first thing that will not: {fit.first_too_much}; {fit.remedy}"
            continue
        room: list[str] = []
        if need.parts.get(ACTIVATIONS):  # of a tiny model they may be too few to be measured
            room.append(f"micro-batches up to {fit.micro_batch_tokens:,} tokens")
        if need.parts.get(CACHE):
            room.append(f"keys and values of {fit.cache_tokens:,} tokens ({fit.slots:,} completions of full length)")
        yield f"{need.device}: fits" + (f", with room for {', '.join(room)}" if room else "")
        if fit.next_too_much:
            times = f"{fit.growth:,.1f} times as many"
            yield f"{need.device}: the first thing that will not fit: {fit.next_too_much}, at {times}"


def time_table(plan: Plan) -> Table:
    """Of a step by phase, and of the whole run."""
    table = Table()
    for head in ("", "a step", "the run"):
        table.add_column(head, justify="right" if head else "left")
    for name, seconds in plan.phases.items():
        if seconds:
            table.add_row(name, _seconds(seconds), _seconds(seconds * plan.num_steps))
    for name, seconds in plan.around.items():
        table.add_row(name, "", _seconds(seconds))
    table.add_section()
    table.add_row("in all", _seconds(plan.step_seconds), _seconds(plan.hours * _HOUR))
    return table


def cost_lines(plan: Plan) -> Iterator[str]:
    """Tokens, hours, money, and what all of it rests on."""
    yield f"tokens: {_count(plan.sampled_tokens)} sampled, {_count(plan.learned_tokens)} learned from"
    cost = "" if plan.money is None else f", ${plan.money:,.2f} at ${plan.price:g} an hour"
    yield f"device-hours: {plan.device_hours:,.2f}{cost}"
    yield from (f"assumed: {text}" for text in plan.assumed)


def stages_table(plans: Sequence[Plan]) -> Table:
    """The stages of a pipeline, and all of them together; tokens sampled and learned from."""
    table = Table()
    for head in ("stage", "steps", "sampled", "learned", "device-hours", "money"):
        table.add_column(head, justify="left" if head == "stage" else "right", no_wrap=True)
    for plan in plans:
        table.add_row(plan.name, f"{plan.num_steps:,.0f}", *_sums([plan]))
    table.add_section()
    table.add_row("together", "", *_sums(plans))
    return table


def _sums(plans: Sequence[Plan]) -> list[str]:
    return [
        _count(sum(plan.sampled_tokens for plan in plans)),
        _count(sum(plan.learned_tokens for plan in plans)),
        f"{sum(plan.device_hours for plan in plans):,.0f}",
        f"${sum(plan.money or 0.0 for plan in plans):,.0f}",
    ]


def _devices(plan: Plan) -> str:
    return "one device" if plan.devices == 1 else f"{plan.devices} devices"


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e10 else f"{count / 1e6:,.1f} MB"


def _seconds(seconds: float) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.2f} s"


def _count(number: float) -> str:
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= unit:
            return f"{number / unit:,.1f} {name}"
    return f"{number:,.0f}"
