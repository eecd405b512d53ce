"""A reward function whose module takes longer to load than the function may take."""

import time
from typing import Any

time.sleep(1.0)


def half(replies: list[dict[str, Any]], prompt: dict[str, Any]) -> list[float]:
    return [0.5] * len(replies)
