"""Trains a language model to think. The verbs of the command line are in ``cli/``; ``run`` is the first of them, for
scripts and notebooks."""

import os
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
    Returns what ``summary.json`` holds. Raises ThinkwrightError for whatever a user can mend. A script that asks for
    ranks or engines, which are processes of their own, calls it under ``if __name__ == "__main__":``.
    """
    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline
    from thinkwright.errors import GateError
    from thinkwright.pipeline.run import run_recipe
    from thinkwright.pipeline.stages import Extent, run_pipeline
    from thinkwright.report.page import write_report

    folder, pipeline = Path(folder), load_pipeline(str(recipe), list(overrides))
    if pipeline is None:
        summary = run_recipe(load_recipe(str(recipe), list(overrides)), folder, resume=resume, argv=sys.argv)
    else:
        try:
            summary = run_pipeline(pipeline, folder, Extent(), sys.argv, print, None)
        except GateError:
            write_report(folder)
            raise
    if os.environ.get("RANK", "0") == "0":  # of several that torchrun started, the first writes for all
        write_report(folder)
    return summary
