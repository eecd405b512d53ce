"""One-line programs, judged by hidden tests: from a description, or from two of the program's values."""

import json
from random import Random

from thinkwright.tasks.tiny_world.puzzle import Puzzle, both

LEVELS = (1, 2, 3)
_HIDDEN_INPUTS = (0, 3, 7, 12, -4)
_POINTS = {2: ((0, 1), (1, 2), (2, 3)), 3: ((1, 3), (2, 4), (3, 5))}


def make(rng: Random, level: int, language: str) -> Puzzle:
    """f(x) = a*x + b. Level 1: described. Level 2: two neighbouring values. Level 3: two values two apart."""
    slope, offset = rng.randint(1, 9), rng.randint(1, 19)
    if level == 1:
        question = (
            f"f takes {slope} times x, plus {offset}." if language == "en" else f"f取x的{slope}倍，再加{offset}。"
        )
        steps = both((f"{slope}*x", f"{slope}*x+{offset}"))
    else:
        left, right = rng.choice(_POINTS[level])
        question, steps = _from_values(slope, offset, left, right, language)
    return Puzzle(
        family="programs",
        level=level,
        language=language,
        question=question,
        answer=_program(slope, offset),
        verifier="program",
        gold=json.dumps([[x, slope * x + offset] for x in _HIDDEN_INPUTS]),
        steps=steps,
        wrong=tuple(
            _program(s, o)
            for s, o in ((slope + 1, offset), (slope, offset + 2), (rng.randint(1, 9), rng.randint(1, 19)))
            if (s, o) != (slope, offset)
        ),
    )


def _program(slope: int, offset: int) -> str:
    return f"lambda x: {slope}*x+{offset}"


def _from_values(
    slope: int, offset: int, left: int, right: int, language: str
) -> tuple[str, dict[str, tuple[str, ...]]]:
    low, high = slope * left + offset, slope * right + offset
    lines = [f"{high}-{low}={high - low}"]
    if right - left > 1:
        lines.append(f"{high - low}/{right - left}={slope}")
    if left:
        lines += [f"{slope}*{left}={slope * left}", f"{low}-{slope * left}={offset}"]
    check = f"{slope}*{right}={slope * right},{slope * right}+{offset}={high}"
    steps = {"en": (*lines, f"check {check} yes"), "zh": (*lines, f"检查{check}对")}
    if language == "en":
        return f"f({left})={low}, f({right})={high}. Write f.", steps
    return f"f({left})={low}，f({right})={high}，写出f。", steps
