"""What a shell is told when it asks how a line goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def words(line: str, place: Path) -> list[str]:
    """What a shell that asks after ``line`` is answered."""
    told = place / "told"
    asking = {
        "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(told),
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "thinkwright"], env=os.environ | asking, check=True, cwd=place)
    return told.read_text().split("\n")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("thinkwright ex", "export"),
        ("thinkwright run tiny/r1-z", "tiny/r1-zero"),
        ("thinkwright run m", "mine.toml"),
        ("thinkwright export --", "--to"),
    ],
)
def test_verbs_options_and_recipes_are_completed(line: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    assert word in [found.strip() for found in words(line, tmp_path)]


def test_what_is_no_recipe_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    assert words("thinkwright run mod", tmp_path) == [""]
