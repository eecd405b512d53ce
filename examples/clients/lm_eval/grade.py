"""How lm-evaluation-harness marks a reply: it brings the text of ``content`` alone."""

from typing import Any

from examples.clients.grading import mark


def process_results(row: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1 for a right answer."""
    return {"right": mark(results[0], row["verifier"], row["gold"])}
