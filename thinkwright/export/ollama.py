"""A folder for ``ollama create``: a GGUF file and the Modelfile beside it.

No TEMPLATE: Ollama (since June 2026) runs the Jinja template in the GGUF file, and finds the tags of the thought in it.
A Go TEMPLATE for older versions stands in comments. Ollama's own defaults would spoil a thinking model: contexts of
2,048 tokens cut thoughts off, and temperature 0.8 with top-p 0.9 is not what it was trained and measured with.
"""

from thinkwright.chat.template import NEXT_TURNS
from thinkwright.config.suites import TEMPERATURE, TOP_P
from thinkwright.export.gguf import GgufModel

MODELFILE = "Modelfile"
_LONGEST_CONTEXT = 32768
"""What R1's longest replies need; the memory of a context is taken when the model is loaded."""


def modelfile(model: GgufModel, gguf_file: str) -> str:
    """Text of the Modelfile for a GGUF file beside it."""
    lines = [
        f"# {model.name}, exported by Thinkwright. In this folder: ollama create {model.name.lower()} -f {MODELFILE}",
        f"FROM ./{gguf_file}",
        f"PARAMETER num_ctx {min(model.layout.max_positions, _LONGEST_CONTEXT)}",
    ]
    if model.chat.name != "own":
        lines += [f"PARAMETER temperature {TEMPERATURE}", f"PARAMETER top_p {TOP_P}"]
        lines += [f'PARAMETER stop "{stop}"' for stop in _stops(model)]
    if model.license is not None:
        lines.append(f'LICENSE "{model.license}"')
    if model.chat.go_template is not None:
        lines += [
            "",
            "# For an Ollama older than June 2026, which does not read the template in the GGUF file, take the",
        ]
        lines += ["# marks away from the lines below.", *_commented(f'TEMPLATE """{model.chat.go_template}"""')]
    return "\n".join(lines) + "\n"


def _stops(model: GgufModel) -> list[str]:
    """The ends of a reply as text, and the next question, should it begin to write one; a Modelfile has no escapes."""
    return [*(model.tokenizer.tokens[end] for end in model.tokenizer.end_ids), NEXT_TURNS[0].strip()]


def _commented(text: str) -> list[str]:
    return [f"# {line}" for line in text.split("\n")]
