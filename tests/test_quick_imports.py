"""Imports without a search for garbage, and the processes that are forked from one that has made them."""

import gc
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from thinkwright import forks
from thinkwright.cli import main
from thinkwright.quick_imports import quick_imports

SCRIPT = """
import gc
from thinkwright.quick_imports import quick_imports
with quick_imports():
    import {module}
print({module}.IS_ENABLED, gc.get_freeze_count() > 0, gc.isenabled())
"""


@pytest.mark.parametrize(("module", "is_set_aside"), [("torch", True), ("something_small", False)])
def test_what_comes_with_torch_is_set_aside(module: str, is_set_aside: bool, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text("import gc\nIS_ENABLED = gc.isenabled()\n")
    paths = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[1])!r}]"
    done = subprocess.run(
        [sys.executable, "-c", paths + SCRIPT.format(module=module)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", str(is_set_aside), "True"]


def test_an_import_that_fails_leaves_the_search_on() -> None:
    with pytest.raises(ModuleNotFoundError), quick_imports():
        importlib.import_module("nowhere_to_be_found")
    assert gc.isenabled()


@pytest.mark.parametrize("nursery", [forks.SERVER_ENGINES, forks.TRAINER_ENGINES])
def test_what_is_loaded_to_fork_engines_is_there(nursery: str) -> None:
    assert find_spec(nursery) is not None  # a name that is none would only make every start slow


@pytest.mark.parametrize(("options", "begun"), [([], [forks.SERVER_ENGINES]), (["--vllm", "http://h:1#m"], [])])
def test_a_server_of_its_own_engines_begins_to_load_them_first(
    options: list[str], begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(forks, "begin_to_load", seen.append)
    monkeypatch.setattr("thinkwright.serving.serve.serve", lambda settings, say: seen.append("serves"))
    assert main(["serve", "tiny-base", *options]) == 0
    assert seen == [*begun, "serves"]
