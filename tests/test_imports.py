"""Imports point one way, and files and functions stay readable."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "thinkwright"
LAYERS = (
    (
        "config",
        "types",
        "characters",
        "errors",
        "run_lock",
        "run_folder",
        "display",
        "web",
        "user_function",
        "quick_imports",
        "forks",
    ),
    ("chat", "algorithms", "models"),
    ("rewards", "tasks"),
    ("rollout", "distributed"),
    ("training", "evaluation"),
    ("pipeline",),
    ("cli", "__main__"),
)
RANK = {name: i for i, names in enumerate(LAYERS) for name in names}
# Read run folders and models only; nothing but the command line imports them.
READERS = ("report", "export", "serving", "planning")
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_imports_point_one_way() -> None:
    wrong = []
    for file in FILES:
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("thinkwright."):
                imported = part_of(node.module or "")
                if part in READERS or part == "__init__":
                    continue
                if (imported in READERS and part != "cli") or (imported not in READERS and RANK[imported] > RANK[part]):
                    wrong.append(f"{file.relative_to(PACKAGE)} imports {node.module}")
    assert not wrong


def test_config_and_algorithms_do_no_input_or_output() -> None:
    for file in (PACKAGE / "algorithms").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "open(" not in text
        assert "thinkwright.config" not in text, f"{file.name}: algorithms take numbers, not recipes"


def test_no_file_over_500_lines_and_no_function_over_80() -> None:
    long = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > 500:
            long.append(str(file))
        for node in ast.walk(ast.parse(text)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and (node.end_lineno or 0) - node.lineno + 1 > 80:
                long.append(f"{file}:{node.name}")
    assert not long
