"""``simulate``: what asynchronous rollouts would gain with more devices, from a run that was measured."""

import argparse
from pathlib import Path
from typing import Any

from thinkwright.cli.values import positive
from thinkwright.errors import RecipeError


def add_planning_verbs(verbs: Any) -> None:
    """Add it to the parser."""
    simulate = verbs.add_parser(
        "simulate", help="what asynchronous rollouts would gain on many devices, from an RL run's measured phases"
    )
    simulate.add_argument("run", type=Path, metavar="RUN", help="folder of an RL run without rollout.max_staleness")
    simulate.add_argument("--devices", type=positive, nargs="+", default=[8, 16, 64, 256, 1024], metavar="N")
    simulate.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 2, 4], metavar="K")
    simulate.add_argument("--prompts", type=positive, metavar="N", help="prompts of a step (default: as in the run)")
    simulate.set_defaults(verb=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    if min(options.devices) < 2 or min(options.staleness) < 0:
        raise RecipeError(
            "simulate needs --devices of 2 or more (some sample, some train), and --staleness of 0 or more"
        )

    from rich.console import Console

    from thinkwright.planning.phases import measure
    from thinkwright.planning.table import check_line, gain_table

    run = measure(options.run)
    console = Console()
    console.print(str(run.phases), highlight=False)
    console.print(check_line(run), highlight=False)
    console.print(gain_table(run, options.devices, options.staleness, options.prompts))
    return 0
