"""Finds the program in an answer."""

import re

from thinkwright.rewards.extraction import find_last_box

_PYTHON_LABELS = ("python", "python3", "py")
_DEFINED = re.compile(r"^[ \t]*(?:def|class)[ \t]+(\w+)|^(\w+)[ \t]*=", re.MULTILINE)
_CALLED = re.compile(r"(\w+)\(")
MAX_ANSWER_CHARACTERS = 1 << 18


def extract_program(answer: str, call: str = "") -> str:
    """The last block fenced as Python, else the last fenced block, else all of it; "" if it is far too long.

    Of several blocks the last that defines what ``call`` calls, if one does: examples of use may follow it. A last
    block that is never closed goes to the end. Lines end at a line feed alone, as in Python's own text files.
    """
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return ""
    box = find_last_box(answer)
    blocks = _fenced_blocks(box if box and "```" in box else answer)
    if not blocks:
        return box or answer
    chosen = [block for is_python, block in blocks if is_python] or [block for _, block in blocks]
    names = set(_CALLED.findall(call))
    defining = [block for block in chosen if names and not names.isdisjoint(_defined_names(block))]
    return (defining or chosen)[-1]


def _fenced_blocks(answer: str) -> list[tuple[bool, str]]:
    """Each fenced block, less the indentation of its fence, and whether it is fenced as Python."""
    blocks: list[tuple[bool, list[str]]] = []
    is_inside, indentation = False, 0
    for line in answer.replace("\r\n", "\n").split("\n"):
        mark = line.strip()
        if is_inside and mark == "```":
            is_inside = False
        elif not is_inside and mark.startswith("```"):
            is_inside, indentation = True, len(line) - len(line.lstrip())
            label = mark[3:].strip().lower()
            blocks.append((label in _PYTHON_LABELS, []))
        elif is_inside:
            blocks[-1][1].append(line[min(indentation, len(line) - len(line.lstrip())) :])
    return [(is_python, "\n".join(lines) + "\n") for is_python, lines in blocks]


def _defined_names(block: str) -> set[str]:
    return {match[1] or match[2] for match in _DEFINED.finditer(block)}
