"""Trains a language model to think. The verbs of the command line are in ``cli/``; ``run`` is the first of them, for
scripts and notebooks."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thinkwright.errors import ThinkwrightError

__all__ = ["ThinkwrightError", "__version__", "run"]
__version__ = "0.1.0"


def run(
    recipe: str | Path, folder: str | Path, overrides: Sequence[str] = (), *, resume: bool = False
) -> dict[str, Any]:
    """Run a recipe or a pipeline (a shipped name or a TOML file) into a folder, and write its ``report.html``.

    ``overrides``: as on the command line, such as ``"optimizer.lr=1e-5"``. A pipeline always goes on with what is done.
    Returns what ``summary.json`` holds. Raises ThinkwrightError for whatever a user can mend.
    """
    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline
    from thinkwright.pipeline.run import run_recipe
    from thinkwright.pipeline.stages import Extent, run_pipeline
    from thinkwright.report.page import write_report

    folder, pipeline = Path(folder), load_pipeline(str(recipe), list(overrides))
    if pipeline is not None:
        summary = run_pipeline(pipeline, folder, Extent(), sys.argv, print, None)
    else:
        summary = run_recipe(load_recipe(str(recipe), list(overrides)), folder, resume=resume, argv=sys.argv)
    write_report(folder)
    return summary
