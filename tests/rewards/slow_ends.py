"""Workers whose word that they are done comes late, as on a busy machine, or never; loaded by their nursery, which
forks them."""

import json
import os
import sys
import time
from types import SimpleNamespace
from typing import Any

from tests.rewards.poison import VERIFIERS

__all__ = ["VERIFIERS"]


def _late(message: Any) -> str:
    if message == ("done",):
        time.sleep(float(os.environ["THINKWRIGHT_TEST_END_SECONDS"]))
    return json.dumps(message)


sys.modules["__main__"].json = SimpleNamespace(dumps=_late, loads=json.loads)  # type: ignore[attr-defined]
