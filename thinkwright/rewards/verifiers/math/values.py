"""Are two expressions equal? Exact fractions where they are rational, else numbers of hundreds of digits.

No symbolic algebra, so nothing can hang: an expression is evaluated, at fixed points if it has variables. A difference
counts as zero when it is smaller than every quantity in the evaluation by 2^-120; the precision follows from the
quantities, so 1/2^99 and 1/2^98 differ, and so do 1 and 1 + 10^-300. There is no tolerance.
"""

import random
from fractions import Fraction
from functools import lru_cache

from thinkwright.rewards.verifiers.math.evaluation import GUARD_BITS, Evaluation, Undefined
from thinkwright.rewards.verifiers.math.expressions import Node
from thinkwright.rewards.verifiers.math.tokens import Unreadable

MAX_PRECISION = 8_000
_FIRST_PRECISION = 320
_ALWAYS_WHOLE = frozenset({"factorial", "binomial"})
_ROUNDINGS = frozenset({"floor", "ceil"})
_WHOLE_NAMES = frozenset("ijklmnpqrstKMN")


def is_equal(gold: Node, answer: Node) -> bool:
    """Equal for all values of the variables. ``Unreadable`` if either is too large to tell."""
    if gold == answer:
        return True
    gold_symbols, answer_symbols = symbols_of(gold), symbols_of(answer)
    if "infty" in gold_symbols | answer_symbols:
        return False
    if not gold_symbols:
        # A number written with variables is no final answer.
        return not answer_symbols and _equal_constants(gold, answer)
    return _equal_at_points(gold, answer, tuple(sorted(gold_symbols | answer_symbols)))


def constant_value(node: Node) -> complex:
    """About its value, for putting numbers in order. ``Unreadable`` if it has none."""
    if symbols_of(node):
        raise Unreadable("has variables")
    try:
        evaluation = Evaluation({}, _FIRST_PRECISION, must_be_real=False)
        return complex(evaluation.inexact(evaluation.value(node)))
    except (Undefined, OverflowError) as error:
        raise Unreadable(f"has no value: {error}") from error


def check_value(node: Node) -> None:
    """``Unreadable`` if it is a constant too large to evaluate, or undefined."""
    if not symbols_of(node):
        try:
            Evaluation({}, _FIRST_PRECISION, must_be_real=False).value(node)
        except Undefined as error:
            raise Unreadable(f"has no value: {error}") from error


def symbols_of(node: Node) -> set[str]:
    """The variables: all symbols but pi, e and i."""
    if node.kind == "symbol":
        return set() if node.name in ("pi", "e", "i") else {node.name}
    found: set[str] = set()
    for arg in node.args:
        found |= symbols_of(arg)
    return found


def is_integer_formula(node: Node) -> bool:
    """Whether it makes sense for whole numbers only: a factorial, a rounding of n, (-1)^n."""
    if node.kind in _ALWAYS_WHOLE and symbols_of(node):
        return True
    if node.kind in _ROUNDINGS and symbols_of(node) and symbols_of(node) <= _WHOLE_NAMES:
        return True
    if node.kind == "power" and symbols_of(node.args[1]) and node.args[0].kind == "negative":
        return True
    return any(is_integer_formula(arg) for arg in node.args)


def _equal_constants(gold: Node, answer: Node) -> bool:
    try:
        return values_equal(gold, answer, {}, must_be_real=False)
    except Undefined:
        return False


def values_equal(gold: Node, answer: Node, point: dict[str, Fraction], *, must_be_real: bool) -> bool:
    """Equal at this point. ``Undefined`` if either has no value there."""
    precision = _FIRST_PRECISION
    difference = smallest_counted = None
    for _ in range(2):
        evaluation = Evaluation(point, precision, must_be_real=must_be_real)
        first, second = evaluation.value(gold), evaluation.value(answer)
        if isinstance(first, Fraction) and isinstance(second, Fraction):
            return first == second
        difference = abs(evaluation.inexact(first) - evaluation.inexact(second))
        smallest_counted = evaluation.context.ldexp(1, int(evaluation.highest) + GUARD_BITS - precision)
        needed = int(evaluation.highest - evaluation.lowest) + 2 * GUARD_BITS
        if needed <= precision:
            break
        if needed > MAX_PRECISION:
            raise Unreadable("needs too many digits")
        precision = needed
    return difference is not None and bool(difference <= smallest_counted)


def _equal_at_points(gold: Node, answer: Node, symbols: tuple[str, ...]) -> bool:
    """Equal wherever both are defined: at whole numbers for formulas of those, else where all parts are real."""
    if is_integer_formula(gold) or is_integer_formula(answer):
        return _agree(gold, answer, _integer_points(symbols), at_least=6, must_be_real=False)
    is_complex = _mentions_i(gold) or _mentions_i(answer)
    points = _real_points(symbols)
    if not is_complex:
        try:
            return _agree(gold, answer, points, at_least=3, must_be_real=True)
        except Undefined:
            pass  # real nowhere: compared as complex numbers
    try:
        return _agree(gold, answer, points, at_least=3, must_be_real=False)
    except Undefined:
        return False


def _agree(gold: Node, answer: Node, points: list[dict[str, Fraction]], *, at_least: int, must_be_real: bool) -> bool:
    """Equal at all points where both are defined. ``Undefined`` if those are fewer than ``at_least``."""
    agreed = 0
    for point in points:
        try:
            if not values_equal(gold, answer, point, must_be_real=must_be_real):
                return False
            agreed += 1
        except Undefined:
            continue
    if agreed < at_least:
        raise Undefined("defined at too few points")
    return True


def _mentions_i(node: Node) -> bool:
    return (node.kind == "symbol" and node.name == "i") or any(_mentions_i(arg) for arg in node.args)


@lru_cache(maxsize=256)
def _real_points(symbols: tuple[str, ...]) -> list[dict[str, Fraction]]:
    """Four points of positive, five of mixed sign, sizes from below 1 to 60; the same in every process."""
    source = random.Random("points")
    sizes = [(1, 9), (0, 1), (10, 60), (0, 1), (-9, -1), (-1, 0), (-9, 9), (-60, -10), (-60, 60)]
    return [
        {name: low + (high - low) * Fraction(source.randrange(1, 9973), 9973) for name in symbols}
        for low, high in sizes
    ]


@lru_cache(maxsize=256)
def _integer_points(symbols: tuple[str, ...]) -> list[dict[str, Fraction]]:
    source = random.Random("points")
    return [
        {name: Fraction(step if len(symbols) == 1 else source.randrange(1, step + 2)) for name in symbols}
        for step in range(1, 25)
    ]


def is_multiple(gold: Node, answer: Node, *, must_be_positive: bool) -> bool:
    """Whether ``answer`` is ``gold`` times a constant other than zero: then both are zero at the same places."""
    symbols = tuple(sorted(symbols_of(gold)))
    if not symbols or symbols_of(answer) != set(symbols):
        return False
    ratio: Node | None = None
    for point in _real_points(symbols)[:6]:
        first, second = _at(gold, point), _at(answer, point)
        quotient = Node("quotient", (second, first))
        value = constant_value(quotient)
        if value == 0 or abs(value) < 1e-30 or (must_be_positive and not (value.imag == 0 and value.real > 0)):
            return False
        if ratio is not None and not is_equal(ratio, quotient):
            return False
        ratio = quotient
    return True


def _at(node: Node, point: dict[str, Fraction]) -> Node:
    """The tree with numbers in place of the variables."""
    if node.kind == "symbol" and node.name in point:
        return Node("number", value=point[node.name])
    return Node(node.kind, tuple(_at(arg, point) for arg in node.args), node.value, node.name) if node.args else node
