"""Imports without a search for garbage: none while they last, and what they made is set aside."""

import gc
import importlib
from pathlib import Path

import pytest

from thinkwright.quick_imports import quick_imports


@pytest.fixture
def freezes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether garbage was looked for, each time that what there was was set aside."""
    found: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: found.append(gc.isenabled()))
    return found


def test_what_is_imported_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freezes: list[bool]) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "never_seen_before.py").write_text("import gc\nIS_ENABLED = gc.isenabled()\n")
    with quick_imports():
        module = importlib.import_module("never_seen_before")
    assert not module.IS_ENABLED
    assert freezes == [False]
    assert gc.isenabled()


def test_where_all_was_there_nothing_is_set_aside(freezes: list[bool]) -> None:
    with quick_imports():
        importlib.import_module("json")
    assert freezes == []
    assert gc.isenabled()


def test_an_import_that_fails_leaves_the_search_on(freezes: list[bool]) -> None:
    with pytest.raises(ModuleNotFoundError), quick_imports():
        importlib.import_module("nowhere_to_be_found")
    assert gc.isenabled()
