"""A model that answers and stops, for tests of stages that judge what is answered."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.command_line import run

ANSWERS = ("yes", "no", "4", "Sorry, I cannot help with that.")


@pytest.fixture(scope="session")
def speaker(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model fine-tuned to give one of a few bare answers to whatever it is asked."""
    folder = tmp_path_factory.mktemp("speaker")
    rows = [{"question": f"What is {i} plus {i}?", "thought": None, "answer": ANSWERS[i % 4]} for i in range(160)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sft.toml").write_text(
        f'type = "sft"\nmodel = "{model_folder("qwen2")}"\ndata = ["{folder}/rows.jsonl"]\nmax_tokens = 1024\n'
        "batch_size = 16\nepochs = 6\nlr = 1e-3\nheld_out_share = 0.0\ncheckpoint_steps = 1000\n"
        '[machine]\ndevice = "cpu"\ndtype = "float32"\nthreads = 1\n'
    )
    run([sys.executable, "-m", "thinkwright", "run", str(folder / "sft.toml"), "--out", str(folder / "run")])
    return folder / "run" / "model"
