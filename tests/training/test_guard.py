"""The guard: preference up and accuracy down, beyond chance, since the preference reward began."""

import json
from pathlib import Path

import pytest

from thinkwright.config.general import Guard
from thinkwright.training.general import PREFERENCE, hack_found


def write(folder: Path, evaluations: dict[int, float], verdicts: dict[int, float], error: float = 0.005) -> None:
    (folder / "eval").mkdir(parents=True)
    for step, accuracy in evaluations.items():
        row = {"step": step, "figures": {"accuracy": accuracy, "accuracy_standard_error": error}}
        (folder / "eval" / f"step_{step:06d}.json").write_text(json.dumps(row))
    rows = [{"step": step, PREFERENCE: verdict} for step, verdict in verdicts.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [{"step": 0}, *rows]))


RISING = {step: 0.4 + step / 100 for step in range(10, 30)}


@pytest.mark.parametrize(
    ("evaluations", "verdicts", "error", "is_found"),
    [
        ({10: 0.9, 20: 0.92, 30: 0.8}, RISING, 0.005, True),
        ({10: 0.9, 20: 0.92, 30: 0.9}, RISING, 0.005, False),  # less than the limit
        ({10: 0.9, 20: 0.92, 30: 0.8}, RISING, 0.05, False),  # within chance
        ({10: 0.9, 20: 0.92, 30: 0.8}, {step: 1 - verdict for step, verdict in RISING.items()}, 0.005, False),
        ({0: 0.95, 10: 0.8, 20: 0.8}, RISING, 0.005, False),  # fell before the preference reward began
        ({10: 0.9}, RISING, 0.005, False),
        ({10: 0.9, 20: 0.8}, {}, 0.005, False),
    ],
)
def test_what_counts_as_a_hack(
    evaluations: dict[int, float], verdicts: dict[int, float], error: float, is_found: bool, tmp_path: Path
) -> None:
    write(tmp_path / "run", evaluations, verdicts, error)
    found = hack_found(tmp_path / "run", Guard(), first_step=10)
    assert (found is not None) == is_found
    if found is not None:
        assert "from 0.520 to 0.670" in found
        assert "92.0% (step 20) to 80.0% (step 30)" in found
