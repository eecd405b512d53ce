"""Rows of thoughts and answers for the tests of fine-tuning."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def make_rows(count: int) -> list[Row]:
    """Sums of two numbers with a written-out thought; lengths differ."""
    return [
        {
            "question": f"What is {i} + {i * i}?",
            "thought": f"{i} + {i * i}" + " and again" * (i % 4) + f" = {i + i * i}",
            "answer": f"It is {i + i * i}.",
            "language": "en",
            "source": {"row": i},
        }
        for i in range(1, count + 1)
    ]


def write_rows(path: Path, rows: list[Row]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
