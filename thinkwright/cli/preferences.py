"""``preferences``: files of preference pairs."""

import argparse
from pathlib import Path
from typing import Any

from thinkwright.cli.values import address, count, positive, positive_number, share


def add_preference_verbs(verbs: Any) -> None:
    """Add them to the parser."""
    preferences = verbs.add_parser(
        "preferences", help="import, export, check, split and compare files of preference pairs"
    )
    _add_verbs(preferences.add_subparsers(title="verbs", required=True, metavar="VERB"))


def _add_verbs(verbs: Any) -> None:
    imports = verbs.add_parser("import", help="write pairs of a known set, a file or a Hub set in our form")
    imports.add_argument("source", metavar="SOURCE", help="such as hh_rlhf_harmless, pairs.jsonl, hub:owner/name:split")
    imports.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON lines, .gz if it ends so")
    imports.set_defaults(verb=_import_pairs)
    export = verbs.add_parser("export", help="write pairs of the votes that thinkwright serve has kept")
    export.add_argument("file", type=Path, metavar="FILE", help="such as runs/votes.sqlite")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON lines, .gz if it ends so")
    export.add_argument("--model", metavar="NAME", help="only votes on replies of this model")
    export.add_argument("--blind-only", action="store_true", help="only votes given without the models' names")
    export.set_defaults(verb=_export_votes)
    check = verbs.add_parser("check", help="read files as a reward_model stage would, and say what may mislead it")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.set_defaults(verb=_check_pairs)
    split = verbs.add_parser("split", help="write training.jsonl and held_out.jsonl, equal questions on one side")
    split.add_argument("file", metavar="FILE")
    split.add_argument("--share", type=share, default=0.1, metavar="X", help="held out of the questions (default 0.1)")
    split.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    split.set_defaults(verb=_split_pairs)
    agreement = verbs.add_parser("agreement", help="say how far the judges of a file agreed, from its votes")
    agreement.add_argument("file", metavar="FILE")
    agreement.set_defaults(verb=_agreement)
    judge = verbs.add_parser("judge", help="let a served model choose between two responses, in both orders")
    judge.add_argument("file", metavar="FILE", help="rows of question, first, second")
    judge.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON lines; goes on with one there")
    judge.add_argument(
        "--url", type=address, required=True, help="the server's base address, such as http://127.0.0.1:8000/v1"
    )
    judge.add_argument("--name", required=True, help="what the server calls the model")
    judge.add_argument("--key-variable", metavar="NAME", help="environment variable that holds the server's key")
    judge.add_argument(
        "--timeout",
        type=positive_number,
        dest="timeout_seconds",
        metavar="SECONDS",
        help="wait for one reply (default 300)",
    )
    judge.add_argument("--retries", type=count, metavar="N", help="times a failed request is sent again (default 7)")
    judge.add_argument("--tries", type=positive, metavar="N", help="for one verdict, until it can be read (default 3)")
    judge.add_argument("--max-tokens", type=positive, metavar="N", help="of one reply (default 4096)")
    judge.set_defaults(verb=_judge_pairs)


def _import_pairs(options: argparse.Namespace) -> int:
    from thinkwright.pipeline.preferences import import_pairs

    print("\n".join(import_pairs(options.source, options.out)))
    return 0


def _export_votes(options: argparse.Namespace) -> int:
    from thinkwright.serving.votes_export import export_votes

    found = export_votes(options.file, options.out, model=options.model, blind_only=options.blind_only)
    print("\n".join(found))
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
