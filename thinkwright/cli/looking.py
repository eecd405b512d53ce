"""``report``, ``watch``, ``mirror`` and ``eval``: what is seen of runs and models."""

import argparse
from pathlib import Path
from typing import Any

from thinkwright.cli.values import names, numbers, port, positive, temperature, top_p
from thinkwright.errors import RecipeError
from thinkwright.quick_imports import quick_imports


def add_looking_verbs(verbs: Any) -> None:
    """Add them to the parser."""
    report = verbs.add_parser("report", help="write report.html of a run or a pipeline, or compare several runs")
    report.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    report.add_argument("--out", type=Path, metavar="FILE", help="of several runs (default compare.html around them)")
    report.set_defaults(verb=_report)
    watch = verbs.add_parser("watch", help="serve the page of a run or a pipeline while it goes on")
    watch.add_argument("folder", type=Path, metavar="FOLDER", help="need not be there yet")
    watch.add_argument(
        "--host", default="127.0.0.1", help="address to serve at (default 127.0.0.1: this machine alone)"
    )
    watch.add_argument("--port", type=port, default=8420, metavar="N", help="0 takes a free one (default 8420)")
    watch.set_defaults(verb=_watch)
    mirror = verbs.add_parser("mirror", help="show a run's metrics in TensorBoard, trackio or Weights & Biases, too")
    mirror.add_argument("folder", type=Path, metavar="FOLDER", help="a run's or a pipeline's")
    mirror.add_argument("--to", nargs="+", required=True, choices=("tensorboard", "trackio", "wandb"))
    mirror.add_argument("--project", help="what trackio and wandb file it under (default thinkwright)")
    mirror.add_argument("--name", help="what they call it (default: the folder's name)")
    mirror.add_argument("--mode", choices=("offline", "online"), help="wandb: write here (default), or send at once")
    mirror.add_argument("--follow", action="store_true", help="go on until the run ends, or Ctrl-C")
    mirror.set_defaults(verb=_mirror)
    _add_eval(verbs.add_parser("eval", help="measure models on suites: accuracy with intervals, votes, budgets"))


def _add_eval(parser: Any) -> None:
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="a folder, run, checkpoint, Hub name, or URL#NAME of a served model"
    )
    suites = "tiny_world, or named sets such as gsm8k,math (docs/evaluation.md)"
    parser.add_argument("--suite", type=names, dest="suites", required=True, metavar="NAME[,NAME]", help=suites)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default RUN/eval of a run, else runs/eval-NAME")
    parser.add_argument("--samples", type=positive, metavar="N", help="completions a question (default: the suite's)")
    parser.add_argument("--questions", type=positive, metavar="N", help="questions of a suite, at most")
    parser.add_argument("--temperature", type=temperature, metavar="T", help="default 0.6; 0 is greedy")
    parser.add_argument("--top-p", type=top_p, metavar="P", help="default 0.95")
    parser.add_argument("--max-tokens", type=positive, metavar="N", help="of a completion (default: the suite's)")
    parser.add_argument("--seed", type=int, metavar="N", help="default 0")
    parser.add_argument("--template", metavar="NAME", help="default: the run's, or the model's own (chat), or r1_zero")
    parser.add_argument("--data", metavar="FOLDER", help="folder of the data sets, or hub")
    parser.add_argument("--test-time", action="store_true", default=None, help="try thinking budgets and waits, too")
    parser.add_argument("--budgets", type=numbers, metavar="N[,N]", help="tokens within which the thought must end")
    parser.add_argument("--waits", type=numbers, metavar="N[,N]", help="times that the end of a thought is taken back")
    parser.add_argument("--reward-model", metavar="FOLDER", help="chooses the best of the samples")
    parser.add_argument("--key-variable", metavar="NAME", help="environment variable that holds a server's key")
    parser.add_argument("--slots", type=positive, metavar="N", help="completions sampled at the same time")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes that grade")
    parser.add_argument("--isolation", choices=("bubblewrap", "process"), help="of programs that models write")
    parser.add_argument("--device", help="as machine.device of a recipe")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), help="as machine.dtype of a recipe")
    parser.add_argument("--threads", type=positive, metavar="N", help="as machine.threads of a recipe")
    parser.set_defaults(verb=_eval)


def _report(options: argparse.Namespace) -> int:
    if len(options.folders) > 1:
        from thinkwright.report.compare import write_comparison

        print(write_comparison(options.folders, options.out).resolve())
        return 0
    if options.out is not None:
        raise RecipeError("--out is for several runs; the page of one is report.html in its folder")

    from thinkwright.report.page import write_report

    print(write_report(options.folders[0]).resolve())
    return 0


def _watch(options: argparse.Namespace) -> int:
    from thinkwright.report.watch import watch

    watch(options.folder, options.host, options.port, lambda text: print(text, flush=True))
    return 0


def _mirror(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.mirror import mirror_folder

    keys = ("to", "project", "name", "mode")
    given = {key: value for key in keys if (value := getattr(options, key)) is not None}
    return 0 if mirror_folder(options.folder, given, is_followed=options.follow, say=print) else 1


def _eval(options: argparse.Namespace) -> int:
    from thinkwright.config.evaluation import EvalSettings
    from thinkwright.config.recipe import Machine

    machine = {name: value for name in ("device", "dtype", "threads") if (value := getattr(options, name)) is not None}
    keys = set(EvalSettings.__dataclass_fields__) - {"machine"}
    given = {key: value for key in keys if (value := getattr(options, key)) is not None}
    settings = EvalSettings(**given, machine=Machine(**machine))

    with quick_imports():
        from thinkwright.pipeline.eval_models import Interrupted, evaluate_models
        from thinkwright.pipeline.model_source import find_model

    sources = [find_model(model) for model in options.models]
    first = sources[0]
    out = options.out or (first.run / "eval" if first.run is not None else Path("runs") / f"eval-{first.name}")
    try:
        table = evaluate_models(sources, settings, out, print)
    except Interrupted:
        print(f"interrupted; the same command goes on with what is in {out}")
        return 130
    print(table.read_text(encoding="utf-8"))
    print(f"figures and samples: {out.resolve()}")
    return 0
