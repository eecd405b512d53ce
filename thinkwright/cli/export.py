"""``export``: a model for other programs."""

import argparse
from pathlib import Path
from typing import Any

from thinkwright.quick_imports import quick_imports


def add_export_verb(verbs: Any) -> None:
    """Add it to the parser."""
    export = verbs.add_parser("export", help="write a model for other programs, and check what was written")
    export.add_argument("model", metavar="MODEL", help="a run, a stage, a checkpoint, a model folder or a Hub name")
    export.add_argument("--to", choices=("hf", "gguf", "ollama"), required=True, help="Hugging Face, llama.cpp, Ollama")
    types = ("f16", "bf16", "q8_0", "q4_0", "f32")
    export.add_argument("--type", choices=types, help="of the weights in a GGUF file (default f16)")
    export.add_argument("--out", type=Path, metavar="FOLDER", help="default exports/NAME-TARGET")
    export.add_argument("--name", help="what the model is called (default: as its run)")
    export.add_argument("--template", metavar="NAME", help="how it was asked in training, if no run folder says so")
    export.add_argument("--license", metavar="ID", help="for the card, such as apache-2.0")
    export.add_argument("--push", metavar="OWNER/NAME", help="upload to the Hugging Face Hub afterwards")
    export.add_argument("--private", action="store_true", help="with --push: not for everyone to see")
    export.set_defaults(verb=_export)


def _export(options: argparse.Namespace) -> int:
    with quick_imports():
        from thinkwright.export.run_export import Wanted, export_model

    wanted = Wanted(
        model=options.model,
        target=options.to,
        file_type=options.type,
        out=options.out,
        name=options.name,
        template=options.template,
        license=options.license,
        push=options.push,
        private=options.private,
    )
    print("\n".join(export_model(wanted)))
    return 0
