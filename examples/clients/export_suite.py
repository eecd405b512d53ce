"""Write a suite's questions as JSON lines for other evaluators: python examples/clients/export_suite.py SUITE FILE [N].

Rows hold the question as a served model is asked it (``thinkwright eval URL#NAME``), the verifier's name and the gold.
"""

import json
import sys
from pathlib import Path

from thinkwright.evaluation.sampler import asked
from thinkwright.evaluation.served import TEMPLATE
from thinkwright.run_folder import write_bytes_atomic
from thinkwright.tasks.suites import load_suite


def main(suite: str, path: str, count: str | None = None) -> None:
    """Write the file: all questions of the suite, or its fixed sample of ``count``."""
    prompts = load_suite(suite, TEMPLATE, max_questions=None if count is None else int(count)).prompts
    rows = (
        {"id": p.prompt_id, "question": asked(p), "verifier": p.verifier, "gold": p.gold, "family": p.family}
        for p in prompts
    )
    write_bytes_atomic(Path(path), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
