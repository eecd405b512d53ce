"""What a model's name stands for, and when the Hub is not asked."""

from pathlib import Path

import pytest

from thinkwright.errors import ModelError
from thinkwright.models.shipped import resolve_model_name


def test_a_path_where_nothing_is_is_refused_with_what_is_near_and_never_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "sorting").mkdir(parents=True)
    for name in ("runs/sortin", str(tmp_path / "runs" / "sortin"), "./runs/sortin", "runs/a/model"):
        with pytest.raises(ModelError, match="there is no such folder"):
            resolve_model_name(name)
    with pytest.raises(ModelError, match=r"but a runs/sorting; check the spelling"):
        resolve_model_name("runs/sortin")


def test_folders_shipped_models_and_names_of_the_hub_are_left_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert resolve_model_name("mine") == "mine"
    assert resolve_model_name("Qwen/Qwen2.5-0.5B") == "Qwen/Qwen2.5-0.5B"
    assert resolve_model_name("gpt2") == "gpt2"
    assert Path(resolve_model_name("tiny-base"), "config.json").is_file()
