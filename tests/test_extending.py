"""docs/extending.md: its file and its command, run."""

import json
import re
import shlex
from pathlib import Path

import pytest

from thinkwright.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.mark.usefixtures("few_held_out")
def test_the_page_trains_with_a_method_of_ones_own_of_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    command = shlex.split(re.findall(r"```\n(thinkwright run .*?)```", text, re.DOTALL)[0].replace("\\\n", " "))
    for function in re.findall(r"def .*?(?=\n\n\n|\Z)", code, re.DOTALL):
        assert function.count("\n") < 20
    (tmp_path / "my_methods.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    small = ["steps=1", "rollout.prompts_per_step=4", "rollout.group_size=4", "gate=default"]
    small += ["optimizer.warmup_steps=0", "evaluation.samples_per_question=1", "machine.threads=1", "--out", "run"]
    assert main([*command[1:], *small]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8"))
    assert 0 <= metrics["reward/my_methods:brief"] <= 1
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["algorithm"]["loss"] == "my_methods:squared_change"
