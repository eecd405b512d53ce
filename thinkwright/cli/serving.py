"""``serve``: models behind an address that every client can ask."""

import argparse
import logging
import os
from pathlib import Path
from typing import Any

from thinkwright.cli.values import names, port, positive, positive_number
from thinkwright.quick_imports import quick_imports

KEY_VARIABLE = "THINKWRIGHT_API_KEY"


def add_serve_verb(verbs: Any) -> None:
    """Add it to the parser."""
    serve = verbs.add_parser("serve", help="answer OpenAI's and Ollama's clients, and show a chat page")
    serve.add_argument("models", nargs="+", metavar="MODEL", help="a folder, run, checkpoint or Hub name")
    serve.add_argument("--host", help="address to listen at (default 127.0.0.1: this machine alone)")
    serve.add_argument("--port", type=port, help="default 8000; 0 for a free one")
    serve.add_argument("--api-key", metavar="KEY", help=f"what clients must send (or set {KEY_VARIABLE})")
    serve.add_argument(
        "--name", type=names, action="extend", dest="names", metavar="HOST", help="what a proxy is asked by"
    )
    serve.add_argument("--template", metavar="NAME", help="how models are asked whose run does not say it")
    serve.add_argument("--follow", action="store_true", default=None, help="take a run's new checkpoints as they come")
    serve.add_argument("--vllm", metavar="URL#NAME", help="a vLLM server that generates for MODEL")
    serve.add_argument("--votes", type=Path, metavar="FILE", help="of compare mode (default runs/votes.sqlite)")
    serve.add_argument("--log-prompts", action="store_true", default=None, help="write what is asked into the log")
    serve.add_argument("--engines", type=positive, metavar="N", help="processes that share the requests (default 1)")
    serve.add_argument("--slots", type=positive, metavar="N", help="requests that run together (default: up to 64)")
    serve.add_argument("--queue", type=positive, metavar="N", help="requests that may wait for a slot (default 256)")
    serve.add_argument("--max-prompt-tokens", type=positive, metavar="N", help="default: what --max-tokens leaves")
    serve.add_argument("--max-tokens", type=positive, metavar="N", help="of a reply (default: half of the context)")
    serve.add_argument(
        "--deadline", type=positive_number, dest="deadline_seconds", metavar="SECONDS", help="default 600"
    )
    serve.add_argument("--device", help="as machine.device of a recipe")
    serve.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), help="as machine.dtype of a recipe")
    serve.add_argument("--threads", type=positive, metavar="N", help="as machine.threads of a recipe")
    serve.set_defaults(verb=_serve)


def _serve(options: argparse.Namespace) -> int:
    from thinkwright.config.recipe import Machine
    from thinkwright.config.serving import ServeSettings, ServingEngine

    def given(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(options, name)) is not None}

    machine = Machine(**given(("device", "dtype", "threads")))
    engine = ServingEngine(
        machine=machine, **given(("engines", "slots", "queue", "max_prompt_tokens", "max_tokens", "deadline_seconds"))
    )
    keys = ("host", "port", "api_key", "template", "follow", "vllm", "votes", "log_prompts")
    key: dict[str, Any] = {"api_key": value} if (value := os.environ.get(KEY_VARIABLE)) else {}
    settings = ServeSettings(
        models=tuple(options.models), engine=engine, names=tuple(options.names or ()), **(key | given(keys))
    )

    from thinkwright.forks import SERVER_ENGINES, begin_to_load

    if settings.vllm is None:
        begin_to_load(SERVER_ENGINES)
    with quick_imports():
        from thinkwright.serving.serve import serve

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO if settings.log_prompts else "WARNING")
    serve(settings, lambda text: print(text, flush=True))
    return 0
