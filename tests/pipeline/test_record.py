"""What a run leaves at its end, or where it was stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from thinkwright.pipeline.record import INTERRUPTED, record_end


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([], {}),
        ([0], {"before": {"accuracy": 0}}),
        ([0, 20, 40], {"before": {"accuracy": 0}, "after": {"accuracy": 40}, "after_step": 40}),
    ],
)
def test_the_last_figures_have_their_step_and_a_single_evaluation_is_no_after(
    steps: list[int], told: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "eval").mkdir()
    for step in steps:
        row = {"step": step, "figures": {"accuracy": step}, "samples": []}
        (tmp_path / "eval" / f"step_{step:06d}.json").write_text(json.dumps(row))
    no_policy: Any = None  # the model is left by a finished run alone
    record_end(tmp_path, no_policy, {"status": INTERRUPTED})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"status": INTERRUPTED, **told}
