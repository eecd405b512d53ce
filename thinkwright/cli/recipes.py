"""``run``, ``doctor``, ``difficulty`` and ``recipes``: what is done with a recipe."""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkwright.cli.values import positive
from thinkwright.errors import GateError, RanksError, RecipeError
from thinkwright.quick_imports import quick_imports

if TYPE_CHECKING:
    from thinkwright.config.pipeline import Pipeline


def add_recipe_verbs(verbs: Any) -> None:
    """Add them to the parser."""
    run = verbs.add_parser("run", help="run a recipe: a shipped name such as tiny/r1-zero, or a TOML file")
    run.add_argument("recipe", metavar="RECIPE")
    run.add_argument("overrides", nargs="*", metavar="key=value", help="such as seed=1 or optimizer.lr=1e-4")
    run.add_argument("--out", type=Path, metavar="FOLDER", help="run folder (default runs/RECIPE-seed)")
    run.add_argument("--resume", action="store_true", help="go on with the run there (a pipeline always does)")
    run.add_argument("--from", dest="first", metavar="STAGE", help="pipelines: start at this stage")
    run.add_argument("--until", dest="last", metavar="STAGE", help="pipelines: stop after this stage")
    run.add_argument("--only", metavar="STAGE", help="pipelines: this stage alone")
    run.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="place ranks, engines and reward workers on a running Ray cluster (default: this machine's)",
    )
    run.set_defaults(verb=_run)
    doctor = verbs.add_parser("doctor", help="check this machine, a recipe, or the stages of a pipeline")
    doctor.add_argument("recipe", metavar="RECIPE", nargs="?")
    doctor.add_argument("overrides", nargs="*", metavar="key=value")
    doctor.add_argument("--all", action="store_true", help="examine all rows of large data sets, not a sample")
    doctor.add_argument(
        "--out", type=Path, metavar="FILE", help="write what was found, with every failing row, as JSON"
    )
    doctor.set_defaults(verb=_doctor)
    difficulty = verbs.add_parser("difficulty", help="measure how often a recipe's model solves its training prompts")
    difficulty.add_argument("recipe", metavar="RECIPE")
    difficulty.add_argument("overrides", nargs="*", metavar="key=value")
    difficulty.add_argument("--samples", type=positive, default=8, metavar="N", help="completions a prompt (default 8)")
    difficulty.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="JSON lines; goes on with one there"
    )
    difficulty.set_defaults(verb=_difficulty)
    recipes = verbs.add_parser("recipes", help="list the shipped recipes and presets")
    recipes.set_defaults(verb=_recipes)


def _run(options: argparse.Namespace) -> int:
    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline

    _check_ray(options.ray)
    pipeline = load_pipeline(options.recipe, options.overrides)
    if pipeline is not None:
        return _run_pipeline(pipeline, options.out or _default_folder(options.recipe, pipeline.seed), options)
    if options.first or options.last or options.only:
        raise RecipeError(
            f"{options.recipe}: is no pipeline, so --from, --until and --only have no effect; remove them"
        )
    recipe = load_recipe(options.recipe, options.overrides)
    folder = options.out or _default_folder(options.recipe, recipe.seed)

    with quick_imports():
        from thinkwright.pipeline.run import run_recipe
        from thinkwright.report.page import write_report
        from thinkwright.report.table import result_table

    summary = run_recipe(recipe, folder, resume=options.resume, argv=sys.argv, ray=options.ray)
    if os.environ.get("RANK", "0") != "0":  # started by torchrun: the first rank speaks for all
        return 0
    report = write_report(folder)
    if (code := _stop_code(summary)) is not None:
        steps = summary["steps"]
        done = f"{steps} of {len(recipe.models)} models" if recipe.type == "evaluate" else f"step {steps}"
        print(f"interrupted after {done}; go on by the same command with --resume --out {folder}")
        return code
    if "before" in summary:
        print(result_table(summary))
    print(f"report: {report.resolve()}")
    return 0


def _check_ray(address: str | None) -> None:
    """Raises RanksError where Ray is asked for and not installed."""
    if address is not None and importlib.util.find_spec("ray") is None:
        raise RanksError('--ray: Ray is not installed; pip install "thinkwright[ray]" on every node')


def _default_folder(name_or_path: str, seed: int) -> Path:
    from thinkwright.config.load import recipe_name

    return Path("runs") / f"{recipe_name(name_or_path)}-seed{seed}"


def _run_pipeline(pipeline: "Pipeline", folder: Path, options: argparse.Namespace) -> int:
    if options.only and (options.first or options.last):
        raise RecipeError("--only names one stage; leave out --from and --until with it")

    with quick_imports():
        from thinkwright.pipeline.stages import Extent, run_pipeline
        from thinkwright.report.page import write_report
        from thinkwright.report.table import pipeline_table

    extent = Extent(options.only or options.first, options.only or options.last)
    try:
        summary = run_pipeline(pipeline, folder, extent, sys.argv, print, options.ray)
    except GateError:
        print(f"report: {write_report(folder).resolve()}")
        raise
    report = write_report(folder)
    print(pipeline_table(summary))
    if (code := _stop_code(summary)) is not None:
        print("interrupted; the same command goes on")
        return code
    print(f"report: {report.resolve()}")
    return 0


def _stop_code(summary: dict[str, Any]) -> int | None:
    """The exit code of a run that was stopped with a checkpoint: a machine that is taken away (SIGTERM) has its own,
    EX_TEMPFAIL, by which a scheduler may know to start it again. None for one that ended."""
    from thinkwright.pipeline.record import INTERRUPTED
    from thinkwright.training.interrupt import PREEMPTED

    if summary["status"] != INTERRUPTED:
        return None
    return os.EX_TEMPFAIL if summary.get("stopped_by") == PREEMPTED else 130


def _doctor(options: argparse.Namespace) -> int:
    if options.recipe is None:
        with quick_imports():
            from thinkwright.pipeline.examination import examine_this_machine

        return 0 if examine_this_machine(options.out) else 1

    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline

    pipeline = load_pipeline(options.recipe, options.overrides)
    if pipeline is not None:
        with quick_imports():
            from thinkwright.pipeline.examination import examine_stages

        return 0 if examine_stages(pipeline, examine_all=options.all, out=options.out) else 1
    recipe = load_recipe(options.recipe, options.overrides)

    with quick_imports():
        from thinkwright.pipeline.examination import examine_recipe

    return 0 if examine_recipe(options.recipe, recipe, examine_all=options.all, out=options.out) else 1


def _difficulty(options: argparse.Namespace) -> int:
    from thinkwright.config.load import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)

    with quick_imports():
        from thinkwright.pipeline.examination import measure_recipe

    print(measure_recipe(recipe, num_samples=options.samples, out=options.out))
    return 0


def _recipes(options: argparse.Namespace) -> int:
    from thinkwright.config.load import presets, shipped_recipes

    print("\n".join(shipped_recipes()))
    print("\n".join(f"use={name}" for name in presets()))
    return 0
