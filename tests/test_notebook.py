"""The notebook runs from its first cell to its last, as it stands, but with few steps on few questions."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "thinking.ipynb"


def test_the_notebook_runs_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "STEPS = 60" in first.source
    small = ["rollout.group_size=2", "rollout.prompts_per_step=4", "evaluation.samples_per_question=1"]
    small += ["task.families=['arithmetic']"]
    whole, short = '[f"steps={STEPS}"]', f'[f"steps={{STEPS}}", "machine.threads=1", *{small}]'
    assert whole in first.source
    first.source = first.source.replace("STEPS = 60", "STEPS = 2").replace(whole, short)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    for words in ("accuracy  ", "step   1", "advantage", "thought: loading runs/notebook", "answer:"):
        assert words in told
    assert "Traceback" not in told
    assert (tmp_path / "runs" / "notebook" / "report.html").is_file()
