"""Which branches of the scripts that run untrusted programs the tests take: ``make coverage`` asks for it.

Coverage tools cannot follow there: the processes have no packages and may write no file, and they are killed. So the
script's source is given a mark at the beginning of each branch, which sets a byte of a file that is mapped into memory.

As a program (``python -m tests.rewards.traced_scripts FOLDER``) it tells the branches that nothing took.
"""

import ast
import json
import marshal
import os
import sys
from pathlib import Path

import pytest

from thinkwright.rewards import program_runner, sandbox

VARIABLE = "THINKWRIGHT_TRACED"
"""Names the folder to keep marks in; without it nothing is traced."""
MARKS_IN_SANDBOX = "/marks"
_PROLOGUE = """
import mmap, os
_descriptor = os.open({inside!r} if os.path.exists({inside!r}) else {outside!r}, os.O_RDWR)
_taken = mmap.mmap(_descriptor, 0)
os.close(_descriptor)
"""


class _Marker(ast.NodeTransformer):
    """Puts a mark into both ways of a condition, into a loop and past its end, and where an exception is caught."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def visit_If(self, node: ast.If) -> ast.AST:
        if any(word in ast.unparse(node.test) for word in ("TYPE_CHECKING", "__name__", "sys.platform")):
            return node  # one way only, here
        self._mark(node.body, f"{node.lineno}: if")
        self._mark(node.orelse, f"{node.lineno}: else")
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._loop(node, is_endless=isinstance(node.test, ast.Constant))

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._loop(node, is_endless=False)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self._mark(node.body, f"{node.lineno}: except")
        return self.generic_visit(node)

    def _loop(self, node: ast.While | ast.For, *, is_endless: bool) -> ast.AST:
        self._mark(node.body, f"{node.lineno}: loop")
        if not is_endless:
            self._mark(node.orelse, f"{node.lineno}: loop ends")
        return self.generic_visit(node)

    def _mark(self, body: list[ast.stmt], place: str) -> None:
        body.insert(0, ast.parse(f"_taken[{len(self.places)}] = 1").body[0])
        self.places.append(place)


def traced(script: Path, folder: Path) -> str:
    """The script's source with marks; their places and the marks lie in the folder."""
    marker = _Marker()
    tree = marker.visit(ast.parse(script.read_text(encoding="utf-8")))
    marks = folder / f"{script.name}.marks"
    if not marks.exists():
        (folder / f"{script.name}.places").write_text(json.dumps(marker.places), encoding="utf-8")
        marks.write_bytes(bytes(len(marker.places)))
        marks.chmod(0o666)  # a sandbox is another user's
    return _PROLOGUE.format(inside=MARKS_IN_SANDBOX, outside=str(marks)) + ast.unparse(ast.fix_missing_locations(tree))


def trace(patch: pytest.MonkeyPatch) -> None:
    """Let this process start the scripts with marks, if it is asked for."""
    if not (named := os.environ.get(VARIABLE)):
        return
    folder = Path(named).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runner = marshal.dumps(compile(traced(sandbox._RUNNER, folder), "runner", "exec"))
    marks = ("--bind", str(folder / f"{sandbox._RUNNER.name}.marks"), MARKS_IN_SANDBOX)
    program, *others = sandbox._sandbox_options()
    options = (program, *marks, *others)  # while its root may still be written
    patch.setattr(sandbox, "_runner_code", lambda: runner)
    patch.setattr(sandbox, "_sandbox_options", lambda: options)
    worker = folder / program_runner._WORKER.name
    worker.write_text(traced(program_runner._WORKER, folder), encoding="utf-8")
    patch.setattr(program_runner, "_WORKER", worker)


def keep_marks() -> None:
    """Add the marks of the test that has just ended to those kept: some of the programs in tests wipe what they can."""
    if not (named := os.environ.get(VARIABLE)):
        return
    for marks in Path(named).glob("*.marks"):
        kept = marks.with_suffix(".kept")
        before = kept.read_bytes() if kept.exists() else bytes(marks.stat().st_size)
        kept.write_bytes(bytes(map(max, before, marks.read_bytes())))


def tell(folder: Path) -> None:
    """Print what no test took."""
    for path in sorted(folder.glob("*.places")):
        places, marks = json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".kept").read_bytes()
        missed = [place for place, mark in zip(places, marks, strict=True) if not mark]
        print(f"{path.stem}: {len(places) - len(missed)} of {len(places)} branches taken", *missed, sep="\n    ")


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
