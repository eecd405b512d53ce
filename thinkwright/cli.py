"""The command line. Heavy imports stay inside the verbs, so that ``--help`` and recipe errors answer at once."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkwright.errors import GateError, RecipeError, ThinkwrightError

if TYPE_CHECKING:
    from thinkwright.config.pipeline import Pipeline


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code (0 done, 1 refused or failed, 130 interrupted)."""
    arguments = sys.argv[1:] if argv is None else argv
    options = _parse(arguments)
    try:
        return options.verb(options)
    except ThinkwrightError as error:
        print(f"thinkwright: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "thinkwright: stopped at once; what was finished is kept (run: --resume; difficulty: the same command)",
            file=sys.stderr,
        )
        return 130


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Like ``parse_args``, but key=value may also stand after the options."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (any(word.startswith("-") for word in rest) or "overrides" not in options):
        parser.error(f"unknown: {' '.join(rest)}; see thinkwright --help")
    if rest:
        options.overrides += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="thinkwright", description="Trains a language model to think.")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    run = verbs.add_parser("run", help="run a recipe: a shipped name such as tiny/r1-zero, or a TOML file")
    run.add_argument("recipe", metavar="RECIPE")
    run.add_argument("overrides", nargs="*", metavar="key=value", help="such as seed=1 or optimizer.lr=1e-4")
    run.add_argument("--out", type=Path, metavar="FOLDER", help="run folder (default runs/RECIPE-seed)")
    run.add_argument("--resume", action="store_true", help="go on with the run there (a pipeline always does)")
    run.add_argument("--from", dest="first", metavar="STAGE", help="pipelines: start at this stage")
    run.add_argument("--until", dest="last", metavar="STAGE", help="pipelines: stop after this stage")
    run.add_argument("--only", metavar="STAGE", help="pipelines: this stage alone")
    run.set_defaults(verb=_run)
    report = verbs.add_parser("report", help="write report.html of a run or a pipeline")
    report.add_argument("folder", type=Path, metavar="FOLDER")
    report.set_defaults(verb=_report)
    mirror = verbs.add_parser("mirror", help="show a run's metrics in TensorBoard, trackio or Weights & Biases, too")
    mirror.add_argument("folder", type=Path, metavar="FOLDER", help="a run's or a pipeline's")
    mirror.add_argument("--to", nargs="+", required=True, choices=("tensorboard", "trackio", "wandb"))
    mirror.add_argument("--project", help="what trackio and wandb file it under (default thinkwright)")
    mirror.add_argument("--name", help="what they call it (default: the folder's name)")
    mirror.add_argument("--mode", choices=("offline", "online"), help="wandb: write here (default), or send at once")
    mirror.add_argument("--follow", action="store_true", help="go on until the run ends, or Ctrl-C")
    mirror.set_defaults(verb=_mirror)
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
    difficulty.add_argument(
        "--samples", type=_positive, default=8, metavar="N", help="completions a prompt (default 8)"
    )
    difficulty.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="JSON lines; goes on with one there"
    )
    difficulty.set_defaults(verb=_difficulty)
    recipes = verbs.add_parser("recipes", help="list the shipped recipes")
    recipes.set_defaults(verb=_recipes)
    preferences = verbs.add_parser("preferences", help="import, check, split and compare files of preference pairs")
    _add_preferences(preferences.add_subparsers(title="verbs", required=True, metavar="VERB"))
    return parser


def _add_preferences(verbs: Any) -> None:
    imports = verbs.add_parser("import", help="write pairs of a known set, a file or a Hub set in our form")
    imports.add_argument("source", metavar="SOURCE", help="such as hh_rlhf_harmless, pairs.jsonl, hub:owner/name:split")
    imports.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON lines, .gz if it ends so")
    imports.set_defaults(verb=_import_pairs)
    check = verbs.add_parser("check", help="read files as a reward_model stage would, and say what may mislead it")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.set_defaults(verb=_check_pairs)
    split = verbs.add_parser("split", help="write training.jsonl and held_out.jsonl, equal questions on one side")
    split.add_argument("file", metavar="FILE")
    split.add_argument("--share", type=_share, default=0.1, metavar="X", help="held out of the questions (default 0.1)")
    split.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    split.set_defaults(verb=_split_pairs)
    agreement = verbs.add_parser("agreement", help="say how far the judges of a file agreed, from its votes")
    agreement.add_argument("file", metavar="FILE")
    agreement.set_defaults(verb=_agreement)
    judge = verbs.add_parser("judge", help="let a served model choose between two responses, in both orders")
    judge.add_argument("file", metavar="FILE", help="rows of question, first, second")
    judge.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON lines; goes on with one there")
    judge.add_argument(
        "--url", type=_address, required=True, help="the server's base address, such as http://127.0.0.1:8000/v1"
    )
    judge.add_argument("--name", required=True, help="what the server calls the model")
    judge.add_argument("--key-variable", metavar="NAME", help="environment variable that holds the server's key")
    judge.add_argument(
        "--timeout", type=_seconds, dest="timeout_seconds", metavar="SECONDS", help="wait for one reply (default 300)"
    )
    judge.add_argument("--retries", type=_count, metavar="N", help="times a failed request is sent again (default 7)")
    judge.add_argument("--tries", type=_positive, metavar="N", help="for one verdict, until it can be read (default 3)")
    judge.add_argument("--max-tokens", type=_positive, metavar="N", help="of one reply (default 4096)")
    judge.set_defaults(verb=_judge_pairs)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _address(text: str) -> str:
    from thinkwright.config.endpoint import checked_url

    try:
        return checked_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("at least 0")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("more than 0")
    return seconds


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError("more than 0 and less than 1")
    return share


def _run(options: argparse.Namespace) -> int:
    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline

    pipeline = load_pipeline(options.recipe, options.overrides)
    if pipeline is not None:
        return _run_pipeline(pipeline, options.out or _default_folder(options.recipe, pipeline.seed), options)
    if options.first or options.last or options.only:
        raise RecipeError(
            f"{options.recipe}: is no pipeline, so --from, --until and --only have no effect; remove them"
        )
    recipe = load_recipe(options.recipe, options.overrides)
    folder = options.out or _default_folder(options.recipe, recipe.seed)

    from thinkwright.pipeline.run import INTERRUPTED, run_recipe
    from thinkwright.report.page import write_report
    from thinkwright.report.table import result_table

    summary = run_recipe(recipe, folder, resume=options.resume, argv=sys.argv)
    report = write_report(folder)
    if summary["status"] == INTERRUPTED:
        print(f"interrupted after step {summary['steps']}; go on with --resume")
        return 130
    if "before" in summary:
        print(result_table(summary))
    print(f"report: {report.resolve()}")
    return 0


def _default_folder(name_or_path: str, seed: int) -> Path:
    from thinkwright.config.load import recipe_name

    return Path("runs") / f"{recipe_name(name_or_path)}-seed{seed}"


def _run_pipeline(pipeline: "Pipeline", folder: Path, options: argparse.Namespace) -> int:
    if options.only and (options.first or options.last):
        raise RecipeError("--only names one stage; leave out --from and --until with it")

    from thinkwright.pipeline.run import INTERRUPTED
    from thinkwright.pipeline.stages import Extent, run_pipeline
    from thinkwright.report.page import write_report
    from thinkwright.report.table import pipeline_table

    extent = Extent(options.only or options.first, options.only or options.last)
    try:
        summary = run_pipeline(pipeline, folder, extent, sys.argv, print)
    except GateError:
        print(f"report: {write_report(folder).resolve()}")
        raise
    report = write_report(folder)
    print(pipeline_table(summary))
    if summary["status"] == INTERRUPTED:
        print("interrupted; the same command goes on")
        return 130
    print(f"report: {report.resolve()}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from thinkwright.report.page import write_report

    print(write_report(options.folder).resolve())
    return 0


def _mirror(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.mirror import mirror_folder

    names = ("to", "project", "name", "mode")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return 0 if mirror_folder(options.folder, given, is_followed=options.follow, say=print) else 1


def _doctor(options: argparse.Namespace) -> int:
    if options.recipe is None:
        from thinkwright.pipeline.examination import examine_this_machine

        return 0 if examine_this_machine(options.out) else 1

    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline

    pipeline = load_pipeline(options.recipe, options.overrides)
    if pipeline is not None:
        from thinkwright.pipeline.examination import examine_stages

        return 0 if examine_stages(pipeline, examine_all=options.all, out=options.out) else 1
    recipe = load_recipe(options.recipe, options.overrides)

    from thinkwright.pipeline.examination import examine_recipe

    return 0 if examine_recipe(options.recipe, recipe, examine_all=options.all, out=options.out) else 1


def _difficulty(options: argparse.Namespace) -> int:
    from thinkwright.config.load import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)

    from thinkwright.pipeline.examination import measure_recipe

    print(measure_recipe(recipe, num_samples=options.samples, out=options.out))
    return 0


def _recipes(options: argparse.Namespace) -> int:
    from thinkwright.config.load import shipped_recipes

    print("\n".join(shipped_recipes()))
    return 0


def _import_pairs(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.preferences import import_pairs

    print("\n".join(import_pairs(options.source, options.out)))
    return 0


def _check_pairs(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.preferences import check_pairs

    print("\n".join(check_pairs(options.files)))
    return 0


def _split_pairs(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.preferences import split_pairs

    print("\n".join(split_pairs(options.file, options.share, options.out)))
    return 0


def _agreement(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.preferences import judges_agreement

    print("\n".join(judges_agreement(options.file)))
    return 0


def _judge_pairs(options: argparse.Namespace) -> int:
    from thinkwright.config.judge import Judge
    from thinkwright.pipeline.judged_pairs import judge_file

    names = ("url", "name", "key_variable", "timeout_seconds", "retries", "tries", "max_tokens")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    judge = Judge(**given)
    counts = judge_file(options.file, options.out, judge)
    print("\n".join(f"{name}: {count}" for name, count in counts.items()))
    return 0
