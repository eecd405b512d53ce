"""What the package offers a script: few names, at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import thinkwright

MODULES = "import sys, thinkwright; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def test_public_names_are_those_that_are_listed() -> None:
    own = [name for name, value in vars(thinkwright).items() if getattr(value, "__module__", "") in OWN]
    assert thinkwright.__all__ == sorted([*own, "__version__"])


OWN = ("thinkwright", "thinkwright.errors")


def test_importing_it_loads_no_library() -> None:
    loaded = subprocess.run([sys.executable, "-c", MODULES], capture_output=True, text=True, check=True).stdout.split()
    assert "thinkwright" in loaded
    assert not {"torch", "transformers", "pydantic", "numpy"} & set(loaded)


@pytest.mark.usefixtures("few_held_out")
def test_a_script_runs_a_recipe_and_reads_what_became_of_it(tmp_path: Path) -> None:
    settings = ["steps=1", "rollout.prompts_per_step=2", "rollout.group_size=2", "rollout.max_response_tokens=8"]
    settings += ["gate=default", "evaluation.samples_per_question=1", "machine.threads=1"]
    summary = thinkwright.run("tiny/r1-zero", tmp_path / "run", settings)
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_script_is_told_what_to_mend(tmp_path: Path) -> None:
    with pytest.raises(thinkwright.ThinkwrightError, match="did you mean"):
        thinkwright.run("tiny/r1-zeroo", tmp_path / "run")
