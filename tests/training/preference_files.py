"""Preferences by a rule that a tiny model can learn: people like answers that end in "yes"."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def make_pairs(count: int) -> list[Row]:
    """Pairs of different lengths, the longer one chosen as often as not."""
    return [
        {
            "question": f"Is {i} + {i} even?",
            "chosen": "well " * (i % 3) + "yes",
            "rejected": "well " * ((i + i // 3) % 3) + "no",
            "chosen_thought": f"{i} and {i}" if i % 2 else None,
            "first": "chosen" if i % 4 else "rejected",
            "votes": [1, 1, -1],
            "language": "en",
        }
        for i in range(1, count + 1)
    ]


def make_singles(count: int) -> list[Row]:
    """Good and bad responses, each by itself."""
    rows = make_pairs(count)
    return [
        row | ({"rejected": None} if i % 2 else {"chosen": None, "chosen_thought": None}) for i, row in enumerate(rows)
    ]


def write_pairs(path: Path, rows: list[Row]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
