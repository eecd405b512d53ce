"""The value of an expression at a point: an exact fraction where it is rational, else a number of any precision.

Sizes are checked before each step, so that no power tower, factorial or exponent costs more than milliseconds.
"""

import importlib
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

from thinkwright.rewards.verifiers.math.expressions import Node
from thinkwright.rewards.verifiers.math.tokens import FUNCTIONS, Unreadable

MAX_BITS = 60_000
"""No quantity may be larger than 2 to this, or need more digits."""
MAX_FACTORIAL = 3_000
MAX_ROOT = 1_000
GUARD_BITS = 120
_MPMATH_NAMES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}

Value = Any  # Fraction where exact, else a real or complex number of mpmath, which has no types


class Undefined(ArithmeticError):
    """No value here: a division by zero, or a root or logarithm outside the real numbers where those are asked for."""


@lru_cache(maxsize=1)
def _new_context() -> Any:
    return importlib.import_module("mpmath").MPContext()


class Evaluation:
    """The value of trees at one point and precision, and the range of sizes met on the way."""

    def __init__(self, point: dict[str, Fraction], precision: int, *, must_be_real: bool) -> None:
        self.context = _new_context()
        self.context.prec = precision
        self.point = point
        self.must_be_real = must_be_real
        self.highest = self.lowest = 0.0  # log2 of the largest and smallest size

    def value(self, node: Node) -> Value:
        if node.kind == "number":
            return node.value
        if node.kind == "symbol":
            return self.symbol(node.name)
        rule = _RULES.get(node.kind)
        if rule is None:
            raise Unreadable(f"has {node.kind} in an expression")
        result = rule(self, *[self.value(arg) for arg in node.args])
        if isinstance(result, Fraction):
            if max(result.numerator.bit_length(), result.denominator.bit_length()) > MAX_BITS:
                raise Unreadable("is too large")
        else:
            self.note(result)
        return result

    def symbol(self, name: str) -> Value:
        if name == "pi":
            return +self.context.pi
        if name == "e":
            return +self.context.e
        if name == "i":
            return self.context.mpc(0, 1)
        if name not in self.point:
            raise Unreadable(f"has the symbol {name}")
        return self.point[name]

    def note(self, value: Value) -> None:
        """Widen the range by this size."""
        size = float(self.context.mag(value))
        if size != size or size == float("inf"):
            raise Undefined("infinite")
        if abs(size) <= MAX_BITS:
            self.highest, self.lowest = max(self.highest, size), min(self.lowest, size)
        elif size > 0:
            raise Unreadable("is too large")

    def inexact(self, value: Value) -> Value:
        """A fraction as a real number of this precision, its size noted."""
        if not isinstance(value, Fraction):
            return value
        real = self.context.mpf(value.numerator) / value.denominator
        self.note(real)
        return real


def _both(run: Evaluation, first: Value, second: Value) -> tuple[Value, Value]:
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return first, second
    return run.inexact(first), run.inexact(second)


def _sum(run: Evaluation, first: Value, second: Value) -> Value:
    first, second = _both(run, first, second)
    return first + second


def _product(run: Evaluation, first: Value, second: Value) -> Value:
    if first == 0 or second == 0:
        return Fraction(0)
    first, second = _both(run, first, second)
    return first * second


def _quotient(run: Evaluation, first: Value, second: Value) -> Value:
    if second == 0:
        raise Undefined("a division by zero")
    first, second = _both(run, first, second)
    return first / second


def _power(run: Evaluation, base: Value, exponent: Value) -> Value:
    if base == 0:
        return _power_of_zero(run, exponent)
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        return _whole_power(run, base, exponent.numerator)
    real, power = run.inexact(base), run.inexact(exponent)
    is_positive = _is_real(run, real) and run.context.re(real) > 0
    if isinstance(exponent, Fraction) and exponent.denominator <= MAX_ROOT:
        is_negative = _is_real(run, real) and not is_positive
        if is_positive or (is_negative and exponent.denominator % 2):  # (-8)^(1/3) is -2, as in school
            return _root(run, _whole_power(run, base, exponent.numerator), Fraction(exponent.denominator))
    if run.must_be_real and not is_positive:
        raise Undefined("a power of a negative number")
    if abs(power) * max(1, abs(run.context.mag(real))) > MAX_BITS:
        raise Unreadable("is too large")
    return run.context.power(real, power)


def _power_of_zero(run: Evaluation, exponent: Value) -> Value:
    real = run.inexact(exponent)
    if exponent == 0:
        return Fraction(1)
    if not _is_real(run, real) or real < 0:
        raise Undefined("a division by zero")
    return Fraction(0)


def _whole_power(run: Evaluation, base: Value, exponent: int) -> Value:
    if exponent.bit_length() > 40:
        raise Unreadable("has too large an exponent")
    if isinstance(base, Fraction):
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits > 1 and bits * abs(exponent) > MAX_BITS:
            raise Unreadable("is too large")
        return base ** (exponent if bits > 1 else exponent % 2)
    if abs(exponent) * max(1, abs(run.context.mag(base))) > MAX_BITS:
        raise Unreadable("is too large")
    return base**exponent


def _root(run: Evaluation, radicand: Value, index: Value) -> Value:
    """The principal root, but of a negative number the real one where the index is odd."""
    if not isinstance(index, Fraction) or index.denominator != 1 or not 1 <= index <= MAX_ROOT:
        raise Unreadable("has a root that is not the square, third, ... one")
    degree = index.numerator
    if radicand == 0:
        return Fraction(0)
    if isinstance(radicand, Fraction):
        exact = _exact_root(abs(radicand), degree)
        if exact is not None and (radicand > 0 or degree % 2):
            return exact if radicand > 0 else -exact
    real = run.inexact(radicand)
    if _is_real(run, real) and run.context.re(real) < 0:
        if degree % 2:
            return -run.context.root(-run.context.re(real), degree)
        if run.must_be_real:
            raise Undefined("an even root of a negative number")
    return run.context.root(real, degree)


def _exact_root(radicand: Fraction, degree: int) -> Fraction | None:
    parts = [_exact_integer_root(part, degree) for part in (radicand.numerator, radicand.denominator)]
    return None if parts[0] is None or parts[1] is None else Fraction(parts[0], parts[1])


def _exact_integer_root(radicand: int, degree: int) -> int | None:
    """Newton's method on integers."""
    if radicand < 2:
        return radicand
    guess = 1 << -(-radicand.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + radicand // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess if guess**degree == radicand else None
        guess = better


def _is_real(run: Evaluation, value: Value) -> bool:
    return isinstance(value, Fraction) or bool(run.context.im(value) == 0)


def _factorial(run: Evaluation, value: Value) -> Value:
    if not isinstance(value, Fraction) or value.denominator != 1 or value < 0:
        raise Undefined("a factorial of what is no whole number")
    if value > MAX_FACTORIAL:
        raise Unreadable("has a factorial of too large a number")
    product = 1
    for factor in range(2, value.numerator + 1):
        product *= factor
    return Fraction(product)


def _binomial(run: Evaluation, above: Value, below: Value) -> Value:
    if not all(isinstance(part, Fraction) and part.denominator == 1 and part >= 0 for part in (above, below)):
        raise Undefined("a binomial coefficient of what are no whole numbers")
    if below > above:
        return Fraction(0)
    if above > MAX_FACTORIAL:
        raise Unreadable("has a binomial coefficient of too large a number")
    result = 1
    for step in range(min(below.numerator, above.numerator - below.numerator)):
        result = result * (above.numerator - step) // (step + 1)
    return Fraction(result)


def _rounded(direction: int, run: Evaluation, value: Value) -> Value:
    if isinstance(value, Fraction):
        return Fraction(value.__floor__() if direction < 0 else value.__ceil__())
    if not _is_real(run, value):
        raise Undefined("rounding of a complex number")
    real = run.context.re(value)
    nearest = int(run.context.nint(real))
    if abs(real - nearest) < run.context.ldexp(1, -GUARD_BITS):
        return Fraction(nearest)
    return Fraction(int(run.context.floor(real) if direction < 0 else run.context.ceil(real)))


def _logarithm(name: str, run: Evaluation, value: Value) -> Value:
    if value == 0:
        raise Undefined("a logarithm of zero")
    real = run.inexact(value)
    if run.must_be_real and not (_is_real(run, real) and run.context.re(real) > 0):
        raise Undefined("a logarithm of a negative number")
    return run.context.ln(real) if name == "ln" else run.context.ln(real) / run.context.ln(10)


def _function(name: str, run: Evaluation, value: Value) -> Value:
    real = run.inexact(value)
    if run.context.mag(real) > 40 + 20 * (name not in ("exp", "sinh", "cosh")) or (
        name in ("exp", "sinh", "cosh") and abs(real) > MAX_BITS / 2
    ):
        raise Unreadable("is too large")
    if run.must_be_real and name in ("arcsin", "arccos") and abs(real) > 1:
        raise Undefined("outside the function's domain")
    return getattr(run.context, _MPMATH_NAMES.get(name, name))(real)


def _absolute(run: Evaluation, value: Value) -> Value:
    return abs(value)


def _negative(run: Evaluation, value: Value) -> Value:
    return -value


def _degrees(run: Evaluation, value: Value) -> Value:
    return run.inexact(value) * run.context.pi / 180


_RULES: dict[str, Callable[..., Value]] = {
    "sum": _sum,
    "product": _product,
    "quotient": _quotient,
    "power": _power,
    "root": _root,
    "negative": _negative,
    "abs": _absolute,
    "factorial": _factorial,
    "binomial": _binomial,
    "floor": partial(_rounded, -1),
    "ceil": partial(_rounded, 1),
    "degrees": _degrees,
    "ln": partial(_logarithm, "ln"),
    "log": partial(_logarithm, "log"),
    **{name: partial(_function, name) for name in FUNCTIONS - {"ln", "log", "sqrt", "abs", "floor", "ceil"}},
}
