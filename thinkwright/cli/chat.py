"""``chat``: talk with a model in the terminal."""

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkwright.cli.values import positive, temperature, top_p
from thinkwright.errors import ModelError, RecipeError
from thinkwright.quick_imports import quick_imports

if TYPE_CHECKING:
    from thinkwright.config.endpoint import Endpoint


def add_chat_verb(verbs: Any) -> None:
    """Add it to the parser."""
    chat = verbs.add_parser("chat", help="talk with a model in the terminal, its thoughts apart from its answers")
    chat.add_argument(
        "model", metavar="MODEL", help="a folder, run, checkpoint, Hub name, or URL or URL#NAME of a server's model"
    )
    chat.add_argument("--thinking", choices=("on", "off"), help="default: as the server has it")
    chat.add_argument("--budget", type=positive, metavar="N", help="tokens after which a thought is to end")
    chat.add_argument("--temperature", type=temperature, metavar="T", help="0 is greedy")
    chat.add_argument("--top-p", type=top_p, metavar="P")
    chat.add_argument("--max-tokens", type=positive, metavar="N", help="of a reply, its thought included")
    chat.add_argument(
        "--show-thoughts", choices=("auto", "open", "closed"), default="auto", help="auto: live, then folded (default)"
    )
    chat.add_argument("--system", metavar="TEXT", help="a system message; R1 asks for none")
    chat.add_argument("--key-variable", metavar="NAME", help="environment variable that holds the server's key")
    chat.add_argument("--template", metavar="NAME", help="how a model is asked whose run does not say it")
    chat.add_argument("--once", metavar="TEXT", help="ask this alone: answer to stdout, thought to stderr")
    chat.set_defaults(verb=_chat)


def _chat(options: argparse.Namespace) -> int:
    if options.once is not None and not options.once.strip():
        raise RecipeError("--once: the question is empty; write one")
    if options.thinking == "off" and options.budget is not None:
        raise RecipeError("--budget: of no thought there is none; leave it or --thinking off out")
    with _reached(options) as endpoint:
        from thinkwright.serving.terminal.client import ChatClient, ChatOptions, only_model
        from thinkwright.serving.terminal.talk import ask_once, chat

        asked = ChatOptions(
            is_thinking={"on": True, "off": False, None: None}[options.thinking],
            budget=options.budget,
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=options.max_tokens,
        )
        with ChatClient(endpoint) as client:
            name = endpoint.name or only_model(client)
            shared: Any = {"system": options.system, "shows": options.show_thoughts}
            if options.once is not None:
                return ask_once(client, name, asked, text=options.once, **shared)
            return chat(client, name, asked, **shared)


@contextlib.contextmanager
def _reached(options: argparse.Namespace) -> "Iterator[Endpoint]":
    """The server that is meant, or one of our own for as long as it is talked with."""
    if re.match(r"https?://", options.model):
        if options.template is not None:
            raise RecipeError("--template: a server has its own; leave it out")
        url, _, name = options.model.partition("#")
        yield _endpoint(url, name, options.key_variable)
        return
    if options.key_variable is not None:
        raise RecipeError("--key-variable: is for a server (MODEL = URL or URL#NAME); leave it out")
    from thinkwright.forks import SERVER_ENGINES, begin_to_load

    begin_to_load(SERVER_ENGINES)
    with quick_imports():
        from thinkwright.config.serving import ServeSettings, ServingEngine
        from thinkwright.serving.serve import serving

    print(f"loading {options.model} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        settings = ServeSettings(
            models=(options.model,),
            port=0,
            template=options.template,
            votes=Path(folder) / "votes.sqlite",
            engine=ServingEngine(slots=1),
        )
        with serving(settings) as address:
            yield _endpoint(f"{address}/v1", "", None)


def _endpoint(url: str, name: str, key_variable: str | None) -> "Endpoint":
    from pydantic import ValidationError

    from thinkwright.config.endpoint import Endpoint

    try:
        return Endpoint(url=url, name=name, key_variable=key_variable)
    except ValidationError as error:
        raise ModelError(f"{url}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
