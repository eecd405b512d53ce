"""A run of many devices, event by event, from the phases of a measured one: what asynchronous rollouts would gain.

Groups go to the least busy engine, as in ``rollout/fleet``; an engine's rows advance together, a token a step, a free
slot takes the next completion; the update of a step begins when its last group has ended and the step before is
learned; a step's groups are begun when no more than the bound of updates is missing.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from thinkwright.planning.phases import Phases, StepTokens

_NEVER = float("inf")


@dataclass
class _Row:
    step: int
    left: float


@dataclass
class _Engine:
    """Rows that run, completions that wait, and when it last advanced."""

    rows: list[_Row] = field(default_factory=list[_Row])
    waiting: deque[_Row] = field(default_factory=deque[_Row])
    clock: float = 0.0
    stamp: int = 0
    """Changes with every change of its rows: what was foreseen before is void."""

    def busy(self) -> int:
        return len(self.rows) + len(self.waiting)


class _Fleet:
    """The engines, and the next time that any row ends."""

    def __init__(self, count: int, slots: int, phases: Phases) -> None:
        self._engines = [_Engine() for _ in range(count)]
        self._slots, self._phases = slots, phases
        self._events: list[tuple[float, int, int]] = []

    def give(self, now: float, step: int, groups: Sequence[Sequence[int]]) -> None:
        """Groups of a step, by the lengths of their completions."""
        touched: set[int] = set()
        by_load = [(engine.busy(), number) for number, engine in enumerate(self._engines)]
        heapq.heapify(by_load)
        for group in groups:
            load, number = heapq.heappop(by_load)
            self._engines[number].waiting.extend(_Row(step, float(length)) for length in group)
            heapq.heappush(by_load, (load + len(group), number))
            touched.add(number)
        for number in touched:
            self._advance(number, now)
            self._fill(number)

    def next_end(self) -> float:
        """When the next row ends."""
        while self._events and self._events[0][2] != self._engines[self._events[0][1]].stamp:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else _NEVER

    def take_ended(self) -> list[int]:
        """Steps of the rows that end next."""
        now, number, _ = heapq.heappop(self._events)
        self._advance(number, now)
        engine = self._engines[number]
        limit = min(row.left for row in engine.rows) + 1e-6  # the event is of the shortest row, whatever the rounding
        ended = [row.step for row in engine.rows if row.left <= limit]
        engine.rows = [row for row in engine.rows if row.left > limit]
        self._fill(number)
        return ended

    def _advance(self, number: int, now: float) -> None:
        engine = self._engines[number]
        if engine.rows:
            done = (now - engine.clock) / self._token_seconds(engine)
            for row in engine.rows:
                row.left -= done
        engine.clock = now

    def _fill(self, number: int) -> None:
        engine = self._engines[number]
        while engine.waiting and len(engine.rows) < self._slots:
            engine.rows.append(engine.waiting.popleft())
        engine.stamp += 1
        if engine.rows:
            shortest = min(row.left for row in engine.rows)
            end = engine.clock + max(0.0, shortest) * self._token_seconds(engine)
            heapq.heappush(self._events, (end, number, engine.stamp))

    def _token_seconds(self, engine: _Engine) -> float:
        return self._phases.decode + self._phases.row * len(engine.rows)


@dataclass(frozen=True)
class Layout:
    """How many devices sample and how many train; the same ones, if they take turns."""

    engines: int
    trainers: int
    max_staleness: int


def simulated_seconds(phases: Phases, steps: Sequence[StepTokens], layout: Layout, slots: int) -> float:
    """Seconds of a step, mean over the run.

    Tokens are shared out evenly among trainers; what an update takes apart from them is not.
    """
    fleet, num_steps = _Fleet(layout.engines, slots, phases), len(steps)
    left = [sum(map(len, step.lengths)) for step in steps]
    begun = learned = 0
    now = 0.0
    learning_ends, ready_at = _NEVER, [_NEVER] * num_steps
    while learned < num_steps:
        while begun < num_steps and begun <= learned + layout.max_staleness:
            fleet.give(now, begun, steps[begun].lengths)
            begun += 1
        if learning_ends == _NEVER and left[learned] == 0 and ready_at[learned] <= now:
            learning_ends = now + _update_seconds(phases, steps[learned], layout)
        pending = ready_at[learned] if learning_ends == _NEVER else _NEVER
        next_end = fleet.next_end()
        now = max(now, min(next_end, learning_ends, pending))
        if now == next_end:
            for step in fleet.take_ended():
                left[step] -= 1
                if left[step] == 0:
                    ready_at[step] = now + phases.prompts
        elif now == learning_ends:
            learned, learning_ends = learned + 1, _NEVER
    return now / num_steps


def _update_seconds(phases: Phases, step: StepTokens, layout: Layout) -> float:
    passes = 1 + phases.old_pass if layout.max_staleness else 1
    return phases.other + phases.update + passes * phases.token * step.learned / layout.trainers


@dataclass(frozen=True)
class Forecast:
    """The fastest layout found."""

    layout: Layout
    step_seconds: float


def best_layout(phases: Phases, steps: Sequence[StepTokens], devices: int, max_staleness: int, slots: int) -> Forecast:
    """With so many devices, split into engines and trainers as is fastest: eighths of them are tried."""
    shares = sorted({min(devices - 1, max(1, round(devices * part / 8))) for part in range(1, 8)})
    layouts = [Layout(devices - trainers, trainers, max_staleness) for trainers in shares]
    found = [Forecast(layout, simulated_seconds(phases, steps, layout, slots)) for layout in layouts]
    return min(found, key=lambda forecast: forecast.step_seconds)


def shared_layout(phases: Phases, steps: Sequence[StepTokens], devices: int, slots: int) -> Forecast:
    """All devices sample, then all train: what ``machine.ranks`` does."""
    layout = Layout(devices, devices, 0)
    return Forecast(layout, simulated_seconds(phases, steps, layout, slots))
