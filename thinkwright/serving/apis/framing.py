"""How streams are framed: server-sent events and lines of JSON, written fast."""

import json
from typing import Any

SSE, NDJSON = "text/event-stream", "application/x-ndjson"
DONE = "data: [DONE]\n\n"
"""The end of OpenAI's chat and completion streams."""
to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""One encoder for all: ``json.dumps`` would make one anew with every call."""


def event(value: Any, name: str | None = None) -> str:
    """One server-sent event; JSON has no line breaks of its own."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {to_json(value)}\n\n"


def line(value: Any) -> str:
    """One line of JSON."""
    return f"{to_json(value)}\n"


def whole_characters(text: str) -> str:
    """The text with half surrogate pairs replaced: an error may repeat what a client sent, and UTF-8 knows none."""
    return text.encode("utf-8", "replace").decode("utf-8")
