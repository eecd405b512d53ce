r"""The kinds of answer: quantity, list, tuple, set, interval, equation, matrix, numeral; and what turns into what."""

from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import Literal

from thinkwright.rewards.verifiers.math.expressions import Node
from thinkwright.rewards.verifiers.math.tokens import Unreadable
from thinkwright.rewards.verifiers.math.units import Unit
from thinkwright.rewards.verifiers.math.values import constant_value, symbols_of


@dataclass(frozen=True)
class Quantity:
    """A number or expression, perhaps with a unit."""

    node: Node
    unit: Unit | None = None


@dataclass(frozen=True)
class Collection:
    """Several answers. A list and a set have no order, a tuple (also a vector) and a row in square brackets have."""

    kind: Literal["list", "set", "tuple", "square"]
    items: tuple["Form", ...]


@dataclass(frozen=True)
class Ellipsis_:
    """The dots in 1, 2, ..., 10."""


@dataclass(frozen=True)
class Named:
    """``x = 5``, ``f(x) = 2x``, ``AB = 7``."""

    name: str
    form: "Form"
    left: Node | None


@dataclass(frozen=True)
class Equation:
    """``left = right`` where ``left`` is more than a name."""

    left: Node
    right: Node


@dataclass(frozen=True)
class Inequality:
    """``left < right`` or ``left <= right`` in several variables; ``>`` is turned round."""

    is_strict: bool
    left: Node
    right: Node


@dataclass(frozen=True)
class Piece:
    """One interval of a set of real numbers; a point has both ends equal and closed."""

    low: Node
    high: Node
    is_low_closed: bool
    is_high_closed: bool


@dataclass(frozen=True)
class RealSet:
    """A union of intervals and points, perhaps said of a variable."""

    pieces: tuple[Piece, ...]
    name: str = ""


@dataclass(frozen=True)
class Matrix:
    """Rows of entries."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Numeral:
    """Digits with the base they are in."""

    digits: str
    base: int


_MAX_TUPLES = 64
Form = Quantity | Collection | Ellipsis_ | Named | Equation | Inequality | RealSet | Matrix | Numeral

INFINITY = Node("symbol", name="infty")
MINUS_INFINITY = Node("negative", (INFINITY,))
REALS = RealSet((Piece(MINUS_INFINITY, INFINITY, False, False),))
EMPTY = Collection("set", ())
SCALED = "scaled"
"""Name of the product that an entry of a matrix with a factor before it is."""


def flatten(forms: list[Form]) -> tuple[Form, ...]:
    r"""The forms, with the items of a list among them ("\pm 6, \pm 2") in its place."""
    items: list[Form] = []
    for form in forms:
        items.extend(form.items if isinstance(form, Collection) and form.kind == "list" else (form,))
    return tuple(items)


def name_list(forms: list[Form]) -> Form:
    """``x = 2, x = 3`` and ``x = 2, 3`` are a list said of x; ``x = 2, y = 3`` is a list of equations."""
    names = [form.name for form in forms if isinstance(form, Named)]
    if (
        names
        and len(set(names)) == 1
        and (len(names) == len(forms) or isinstance(forms[0], Named))
        and len(names)
        in (
            1,
            len(forms),
        )
    ):
        values = [form.form if isinstance(form, Named) else form for form in forms]
        left = next(form.left for form in forms if isinstance(form, Named))
        return Named(names[0], Collection("list", flatten(values)), left)
    return Collection("list", flatten(forms))


def spread(collection: Collection) -> Form:
    r"""A tuple with \pm in it as the list of tuples that it stands for."""
    if not any(isinstance(item, Collection) and item.kind == "list" for item in collection.items):
        return collection
    choices = [flatten([item]) for item in collection.items]
    if prod(map(len, choices)) > _MAX_TUPLES:
        raise Unreadable("stands for too many tuples")
    return Collection("list", tuple(Collection(collection.kind, items) for items in product(*choices)))


def as_real_set(form: Form) -> RealSet | None:
    """The set of real numbers that an interval, inequality or set of numbers is; None if it is none."""
    if isinstance(form, RealSet):
        return form
    if not isinstance(form, Collection):
        return None
    if form.kind in ("tuple", "square"):
        ends = ends_of(form.items)
        is_closed = form.kind == "square"
        return None if ends is None else RealSet((Piece(*ends, is_closed, is_closed),))
    nodes = [item.node for item in form.items if isinstance(item, Quantity) and not symbols_of(item.node)]
    if len(nodes) != len(form.items):
        return None
    return RealSet(tuple(Piece(node, node, True, True) for node in nodes))


def ends_of(items: tuple[Form, ...]) -> tuple[Node, Node] | None:
    """The two ends of an interval: numbers or infinity, the lower first."""
    nodes = [item.node for item in items if isinstance(item, Quantity) and symbols_of(item.node) <= {"infty"}]
    if len(items) != 2 or len(nodes) != 2 or not position(nodes[0]) < position(nodes[1]):
        return None
    return nodes[0], nodes[1]


def position(node: Node) -> float:
    """About where on the number line a number or infinity lies."""
    if node in (INFINITY, MINUS_INFINITY):
        return float("inf") if node == INFINITY else float("-inf")
    value = constant_value(node)
    if value.imag != 0:
        raise Unreadable("is not a real number")
    return value.real


def real_numbers_without(points: list[Node]) -> RealSet:
    """The real line with points taken out."""
    ends = [MINUS_INFINITY, *sorted(points, key=position), INFINITY]
    return RealSet(tuple(Piece(low, high, False, False) for low, high in pairwise(ends)))


def ray(sign: str, bound: Node) -> tuple[Piece, ...]:
    """The numbers < bound, >= bound, ... ."""
    is_closed = sign.endswith("=")
    if sign[0] == "<":
        return (Piece(MINUS_INFINITY, bound, False, is_closed),)
    return (Piece(bound, INFINITY, is_closed, False),)


def expand_signs(node: Node) -> list[Node]:
    r"""What an expression with \pm stands for. With \mp among them the signs go together, else each on its own."""
    kinds = _sign_kinds(node)
    if not kinds:
        return [node]
    if len(kinds) > 4:
        raise Unreadable("has too many signs")
    if "minus_plus" in kinds:
        return [_with_signs(node, [sign] * len(kinds)) for sign in (1, -1)]
    return [_with_signs(node, list(signs)) for signs in product((1, -1), repeat=len(kinds))]


def _sign_kinds(node: Node) -> list[str]:
    found = [node.kind] if node.kind in ("plus_minus", "minus_plus") else []
    return found + [kind for arg in node.args for kind in _sign_kinds(arg)]


def _with_signs(node: Node, signs: list[int]) -> Node:
    """Takes one sign off the list for each \\pm met, outermost first."""
    if node.kind in ("plus_minus", "minus_plus"):
        is_negative = (signs.pop(0) < 0) == (node.kind == "plus_minus")
        inner = _with_signs(node.args[0], signs)
        return Node("negative", (inner,)) if is_negative else inner
    if not node.args:
        return node
    return Node(node.kind, tuple(_with_signs(arg, signs) for arg in node.args), node.value, node.name)
