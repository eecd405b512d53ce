"""Training rows whose question holds a formula that is already full marks: copying it would pay without any work.

"Compute (5-3i)(-4+3i)" asks for -11+27i, and the verifier of mathematics finds the two equal, as they are. Of MATH's
rows a thirtieth are like that. A formula that is just the gold's own text or a plain number stays: that is luck, not a
way round the work.
"""

import re

from thinkwright.rewards.registry import VERIFIERS
from thinkwright.rewards.verifiers.math.verifier import read_plain_number
from thinkwright.tasks.example import Example
from thinkwright.tasks.part import Part, cut

_FORMULA = re.compile(r"\$\$?([^$]{1,300})\$|\\\[(.{1,300}?)\\\]|\\\((.{1,300}?)\\\)", re.DOTALL)
_MAX_FORMULAS = 20
_BLANK = re.compile(r"\s")


def leave_out_given_away(training: Part) -> None:
    """Take out the rows whose question gives an answer away."""
    training.leave_out_where("given_away", lambda _, example: _paid_formula(example))


def _paid_formula(example: Example) -> str | None:
    if example.verifier != "math":
        return None
    for match in list(_FORMULA.finditer(example.question))[-_MAX_FORMULAS:]:
        formula = next(group for group in match.groups() if group is not None).strip()
        if read_plain_number(formula) is not None or _bare(formula) == _bare(example.gold):
            continue
        if VERIFIERS["math"].grade(f"\\boxed{{{formula}}}", example.gold) == 1.0:
            return f"the question's {cut(formula)} counts as {cut(example.gold)}"
    return None


def _bare(text: str) -> str:
    return _BLANK.sub("", text).strip("$.")
