"""A verb that there is not gets the nearest one; a stopped run says how far it came."""

from pathlib import Path
from typing import Any

import pytest

from thinkwright.cli import main


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("rnu", "there is no verb rnu; did you mean run? verbs: run, "),
        ("tiny/r1-zero", "there is no verb tiny/r1-zero; verbs: run, "),
    ],
)
def test_a_misspelt_verb_gets_a_hint_and_the_list(verb: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb, "tiny/r1-zero"])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("recipe", "told"), [("tiny/r1-zero", "after step 1;"), ("mine", "after 1 of 2 models;")])
def test_a_stopped_run_says_how_far_it_came(
    recipe: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any, **__: Any) -> dict[str, Any]:
        return {"status": "interrupted", "stopped_by": "SIGINT", "steps": 1}

    monkeypatch.setattr("thinkwright.pipeline.run.run_recipe", stopped)
    monkeypatch.setattr("thinkwright.report.page.write_report", lambda folder: folder)
    mine = tmp_path / "mine.toml"
    models = '[{name = "A", model = "tiny-base"}, {name = "B", model = "tiny-base"}]'
    mine.write_text(f'type = "evaluate"\nmodels = {models}\n[task]\ntype = "tiny_world"\n')
    assert main(["run", str(mine) if recipe == "mine" else recipe, "--out", str(tmp_path / "out")]) == 130
    assert f"interrupted {told} go on" in capsys.readouterr().out
