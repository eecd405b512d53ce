"""Records where and with what a run started."""

import time
from pathlib import Path

from thinkwright.models.policy import Policy
from thinkwright.run_folder import append_jsonl, environment, write_json_atomic


def record_start(folder: Path, policy: Policy, threads: int, argv: list[str], *, resume: bool) -> None:
    """Write ``environment.json`` unless a resumed run has it already; either way an event is added."""
    found = environment(argv, str(policy.device), str(policy.model.dtype).removeprefix("torch."), threads)
    if not (folder / "environment.json").exists():
        write_json_atomic(folder / "environment.json", found)
    append_jsonl(folder / "events.jsonl", {"time": time.time(), "event": "resumed" if resume else "started", **found})
