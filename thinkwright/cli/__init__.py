"""The command line. Heavy imports stay inside the verbs, so that ``--help`` and recipe errors answer at once."""

import argparse
import sys

from thinkwright.cli.chat import add_chat_verb
from thinkwright.cli.completion import complete
from thinkwright.cli.export import add_export_verb
from thinkwright.cli.install import add_install_verb
from thinkwright.cli.looking import add_looking_verbs
from thinkwright.cli.planning import add_planning_verbs
from thinkwright.cli.preferences import add_preference_verbs
from thinkwright.cli.recipes import add_recipe_verbs
from thinkwright.cli.serving import add_serve_verb
from thinkwright.errors import ThinkwrightError, told_in_full


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 refused or failed, 130 interrupted, 75 stopped by SIGTERM with a
    checkpoint."""
    arguments = sys.argv[1:] if argv is None else argv
    options = _parse(arguments)
    try:
        return options.verb(options)
    except ThinkwrightError as error:
        print(f"thinkwright: {told_in_full(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "thinkwright: stopped at once; what was finished is kept (run: --resume; others: the same command)",
            file=sys.stderr,
        )
        return 130


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Like ``parse_args``, but key=value may also stand after the options."""
    parser = _parser()
    complete(parser)
    _check_verb(parser, arguments)
    options, rest = parser.parse_known_args(arguments)
    if rest and (any(word.startswith("-") for word in rest) or "overrides" not in options):
        parser.error(f"unknown: {' '.join(rest)}; see thinkwright --help")
    if rest:
        options.overrides += rest
    return options


def _check_verb(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """argparse knows no nearest one."""
    verbs = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    if not arguments or arguments[0].startswith("-") or arguments[0] in verbs:
        return
    from thinkwright.config.problems import did_you_mean

    hint = did_you_mean(arguments[0], verbs) or ";"
    parser.error(f"there is no verb {arguments[0]}{hint} verbs: {', '.join(verbs)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="thinkwright", description="Trains a language model to think.")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    add_recipe_verbs(verbs)
    add_planning_verbs(verbs)
    add_looking_verbs(verbs)
    add_chat_verb(verbs)
    add_preference_verbs(verbs)
    add_export_verb(verbs)
    add_serve_verb(verbs)
    add_install_verb(verbs)
    return parser
