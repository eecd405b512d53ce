"""What the simulator found, as a table to read."""

from collections.abc import Sequence

from rich.table import Table

from thinkwright.planning.phases import MeasuredRun, StepTokens
from thinkwright.planning.simulate import Layout, best_layout, shared_layout, simulated_seconds


def gain_table(run: MeasuredRun, devices: Sequence[int], bounds: Sequence[int], prompts: int | None) -> Table:
    """Seconds of a step with so many devices like the measured one, by bound of staleness, and the gain over taking
    turns. ``prompts``: of a step; None for as many as the run had."""
    steps = regrouped(run.steps, prompts)
    table = Table(
        title=f"seconds a step of {len(steps[0].lengths)} prompts, and the gain over all devices taking turns"
    )
    table.add_column("devices", justify="right")
    table.add_column("in turns", justify="right")
    for bound in bounds:
        table.add_column(f"staleness {bound}", justify="right")
    for count in devices:
        shared = shared_layout(run.phases, steps, count, run.slots).step_seconds
        cells = [str(count), f"{shared:.2f}"]
        for bound in bounds:
            best = best_layout(run.phases, steps, count, bound, run.slots)
            gain = shared / best.step_seconds
            cells.append(f"{best.step_seconds:.2f} ({gain:.2f}x, {best.layout.trainers} train)")
        table.add_row(*cells)
    return table


def check_line(run: MeasuredRun) -> str:
    """The measured run simulated: one device samples, one trains, in turns."""
    found = simulated_seconds(run.phases, run.steps, Layout(1, 1, 0), run.slots)
    return f"the run itself: {run.step_seconds:.2f} s a step measured, {found:.2f} s simulated"


def regrouped(steps: list[StepTokens], prompts: int | None) -> list[StepTokens]:
    """Steps of so many prompts, from the groups of the run in their order, again and again as far as they reach; of
    each as large a share of tokens is learned from as in the run."""
    if prompts is None:
        return steps
    groups = [group for step in steps for group in step.lengths]
    share = sum(step.learned for step in steps) / sum(map(sum, groups))
    teaching = sum(step.learned_groups for step in steps) / len(groups)
    found: list[StepTokens] = []
    for first in range(0, max(8 * prompts, len(groups) - prompts + 1), prompts):
        own = [groups[(first + i) % len(groups)] for i in range(prompts)]
        found.append(StepTokens(own, round(share * sum(map(sum, own))), round(teaching * len(own))))
    return found
