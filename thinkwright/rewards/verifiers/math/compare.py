"""Do two forms say the same? The gold's form decides what counts: a list needs all its items, a tuple their order."""

from thinkwright.rewards.verifiers.math.expressions import Node, number
from thinkwright.rewards.verifiers.math.forms import (
    SCALED,
    Collection,
    Ellipsis_,
    Equation,
    Form,
    Inequality,
    Matrix,
    Named,
    Numeral,
    Piece,
    Quantity,
    RealSet,
    as_real_set,
    position,
)
from thinkwright.rewards.verifiers.math.tokens import Unreadable
from thinkwright.rewards.verifiers.math.units import PERCENT
from thinkwright.rewards.verifiers.math.values import constant_value, is_equal, is_multiple, symbols_of

MAX_ITEMS = 60
_MIN_ROUNDED_DECIMALS = 4


def is_same(gold: Form, answer: Form) -> bool:
    """The answer says what the gold says. ``Unreadable`` if that cannot be told."""
    if isinstance(gold, Named) or isinstance(answer, Named):
        return _is_same_named(gold, answer)
    if isinstance(gold, RealSet) or isinstance(answer, RealSet):
        return _is_same_real_set(gold, answer)
    if isinstance(gold, Quantity) and isinstance(answer, Quantity):
        return is_same_quantity(gold, answer)
    if isinstance(gold, Collection) or isinstance(answer, Collection):
        return _is_same_collection(gold, answer)
    if isinstance(gold, Equation) and isinstance(answer, Equation):
        return _is_same_relation(gold, answer, must_be_positive=False)
    if isinstance(gold, Inequality) and isinstance(answer, Inequality):
        return gold.is_strict == answer.is_strict and _is_same_relation(gold, answer, must_be_positive=True)
    if isinstance(gold, Matrix) and isinstance(answer, Matrix):
        return _is_same_matrix(gold, answer)
    return isinstance(gold, Numeral | Ellipsis_) and gold == answer


# Of what a whole number may be written; the rest divides or is a function to be evaluated.
_WORKED_OUT = ("number", "negative", "product", "power", "root", "factorial", "symbol")


def is_same_quantity(gold: Quantity, answer: Quantity) -> bool:
    """Equal numbers of equal units; a unit that only one side writes is passed over, but per cent is not."""
    if _leaves_sum_to_do(gold.node, answer.node):
        return False
    if gold.unit != PERCENT and _is_whole(gold.node) and _has_operation(answer.node):
        return False
    if gold.unit == PERCENT or answer.unit == PERCENT:
        return _is_same_percentage(gold, answer)
    if gold.unit is None or answer.unit is None or gold.unit == answer.unit:
        return is_equal(gold.node, answer.node) or is_rounding(gold.node, answer.node)
    if gold.unit.measures != answer.unit.measures:
        return False
    return is_equal(
        Node("product", (gold.node, number(gold.unit.size))), Node("product", (answer.node, number(answer.unit.size)))
    )


def _is_same_number(gold: Node, answer: Node) -> bool:
    """Equal, and worked out where the gold is."""
    return not _leaves_sum_to_do(gold, answer) and is_equal(gold, answer)


def _leaves_sum_to_do(gold: Node, answer: Node) -> bool:
    """Whether the gold is a number and the answer a sum or product, as 48+24 is: no answer where a number is asked.
    A gold of four decimals may be the rounding of 2+\\sqrt{3}: there only a sum of rational numbers is none.
    """
    if not _is_number(gold):
        return False
    if _num_decimals(gold) < _MIN_ROUNDED_DECIMALS or is_equal(gold, answer):
        return _has_sum_to_do(answer)
    return _has_rational_sum_to_do(answer)


def _has_sum_to_do(node: Node) -> bool:
    """Whether it adds or multiplies anything anywhere. A quotient with another in it multiplies, too: 48/(1/24)."""
    if node.kind == "sum" or (node.kind == "product" and node.name != SCALED and not _is_scientific(node)):
        return True
    if node.kind == "quotient" and any(map(_has_quotient, node.args)):
        return True
    return any(map(_has_sum_to_do, node.args))


def _is_whole(node: Node) -> bool:
    """A whole number written in digits."""
    node = node.args[0] if node.kind == "negative" else node
    return node.kind == "number" and node.value == int(node.value)


def _has_operation(node: Node) -> bool:
    """Whether it divides, or has a function to be evaluated: 84/7 is not yet 12."""
    return node.kind not in _WORKED_OUT or any(map(_has_operation, node.args))


def _has_rational_sum_to_do(node: Node) -> bool:
    if node.kind in ("sum", "product") and all(map(_is_rational, node.args)) and not _is_scientific(node):
        return True
    return any(map(_has_rational_sum_to_do, node.args))


def _has_quotient(node: Node) -> bool:
    """Whether it divides: by a fraction in it or by a negative power."""
    if node.kind == "quotient" or (node.kind == "power" and node.args[1].kind == "negative"):
        return True
    return any(map(_has_quotient, node.args))


def _is_scientific(node: Node) -> bool:
    """5*10^3, which is a number as it is written out."""
    if node.kind != "product" or node.args[1].kind != "power" or not _is_number(node.args[0]):
        return False
    base, exponent = node.args[1].args
    return base.kind == "number" and base.value == 10 and _is_number(exponent)


def _is_rational(node: Node) -> bool:
    kinds = ("number", "negative", "sum", "product", "quotient", "power")
    return node.kind in kinds and all(map(_is_rational, node.args))


def _is_number(node: Node) -> bool:
    """A number as it is written out: 5, -0.5, 3/4, 6.02*10^23."""
    if node.kind in ("negative", "quotient"):
        return all(map(_is_number, node.args))
    return node.kind == "number" or _is_scientific(node)


def is_rounding(gold: Node, answer: Node) -> bool:
    """The answer is exact, and the gold is that number rounded to at least four decimals, such as 0.3333 for 1/3."""
    decimals = _num_decimals(gold)
    if decimals < _MIN_ROUNDED_DECIMALS or symbols_of(answer) or _has_decimals(answer):
        return False
    value = constant_value(answer)
    return value.imag == 0 and abs(value.real - constant_value(gold).real) <= 0.5 * 10.0**-decimals and abs(value) < 1e9


def _num_decimals(node: Node) -> int:
    """How many decimals a number was written with; 0 if it is no decimal number."""
    if node.kind == "negative":
        return _num_decimals(node.args[0])
    return len(node.name) if node.kind == "number" else 0


def _has_decimals(node: Node) -> bool:
    return _num_decimals(node) > 0 or any(_has_decimals(arg) for arg in node.args)


def _is_same_percentage(gold: Quantity, answer: Quantity) -> bool:
    """50% is 0.5, and also the bare figure 50; but 0.5% is not a bare 0.5."""
    if gold.unit == answer.unit:
        return is_equal(gold.node, answer.node)
    percentage, bare = (gold, answer) if gold.unit == PERCENT else (answer, gold)
    if bare.unit is not None:
        return False
    if is_equal(Node("quotient", (percentage.node, number(100))), bare.node):
        return True
    return is_equal(percentage.node, bare.node) and not symbols_of(bare.node) and abs(constant_value(bare.node)) > 1


def _is_same_named(gold: Form, answer: Form) -> bool:
    """The same name or none for a value; where the value has variables, as in y = 2x + 1, also another equation."""
    if isinstance(gold, Named) and isinstance(answer, Named):
        if gold.name == answer.name or (answer.name == "y" and gold.name.endswith(")")):
            return is_same(gold.form, answer.form)
        return _is_same_equation(gold, answer)
    if isinstance(gold, Equation) or isinstance(answer, Equation):
        return _is_same_equation(gold, answer)
    if isinstance(gold, Named):
        return is_same(gold.form, answer)
    return isinstance(answer, Named) and is_same(gold, answer.form)


def _is_same_equation(gold: Form, answer: Form) -> bool:
    """y = 2x + 1 and 2x - y + 1 = 0."""
    first, second = _as_equation(gold), _as_equation(answer)
    if first is None or second is None or (isinstance(gold, Named) and not symbols_of(first.right)):
        return False  # 2x+3 = 7 is not solved for x = 2
    return _is_same_relation(first, second, must_be_positive=False)


def _as_equation(form: Form) -> Equation | None:
    if isinstance(form, Equation):
        return form
    if isinstance(form, Named) and form.left is not None and isinstance(form.form, Quantity):
        return Equation(form.left, form.form.node)
    return None


def _is_same_relation(gold: Equation | Inequality, answer: Equation | Inequality, *, must_be_positive: bool) -> bool:
    """The same places, and no sum of numbers alone on a side where the gold has a number."""
    bound = next((side for side in (gold.left, gold.right) if _is_number(side)), None)
    sides = [side for side in (answer.left, answer.right) if not symbols_of(side)]
    if bound is not None and any(_leaves_sum_to_do(bound, side) for side in sides):
        return False
    return is_multiple(_difference(gold), _difference(answer), must_be_positive=must_be_positive)


def _difference(relation: Equation | Inequality) -> Node:
    return Node("sum", (relation.left, Node("negative", (relation.right,))))


def _is_same_real_set(gold: Form, answer: Form) -> bool:
    first, second = as_real_set(gold), as_real_set(answer)
    if first is None or second is None or (first.name and second.name and first.name != second.name):
        return False
    pieces, other_pieces = merge(first.pieces), merge(second.pieces)
    return len(pieces) == len(other_pieces) and all(map(_is_same_piece, pieces, other_pieces))


def merge(pieces: tuple[Piece, ...]) -> list[Piece]:
    """In order, with those that touch or overlap made one."""
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (position(piece.low), not piece.is_low_closed)):
        last = merged[-1] if merged else None
        if position(piece.low) > position(piece.high):
            continue
        if last is None or not _touches(last, piece):
            merged.append(piece)
        elif position(piece.high) > position(last.high):
            merged[-1] = Piece(last.low, piece.high, last.is_low_closed, piece.is_high_closed)
        elif position(piece.high) == position(last.high):
            is_high_closed = last.is_high_closed or piece.is_high_closed
            merged[-1] = Piece(last.low, last.high, last.is_low_closed, is_high_closed)
    return merged


def _touches(before: Piece, after: Piece) -> bool:
    gap = position(after.low) - position(before.high)
    return gap < 0 or (gap == 0 and (after.is_low_closed or before.is_high_closed))


def _is_same_piece(gold: Piece, answer: Piece) -> bool:
    return (
        (gold.is_low_closed, gold.is_high_closed) == (answer.is_low_closed, answer.is_high_closed)
        and _is_same_number(gold.low, answer.low)
        and _is_same_number(gold.high, answer.high)
    )


def _is_same_collection(gold: Form, answer: Form) -> bool:
    """Items in any order for lists and sets, in their order for tuples. One answer is never several, but {5} is 5."""
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _is_same_vector(gold, answer)
    if not isinstance(gold, Collection) or not isinstance(answer, Collection):
        first, second = _only_item(gold), _only_item(answer)
        return first is not None and second is not None and is_same(first, second)
    if max(len(gold.items), len(answer.items)) > MAX_ITEMS:
        raise Unreadable("has too many items")
    kinds = {gold.kind, answer.kind}
    if kinds <= {"list", "set"}:
        if any(isinstance(item, Ellipsis_) for item in gold.items):
            return _is_same_sequence(gold.items, answer.items)
        return (_is_same_set if "set" in kinds else _is_same_bag)(gold.items, answer.items)
    if gold.kind == answer.kind or (kinds == {"tuple", "square"} and len(gold.items) > 2):
        return _is_same_sequence(gold.items, answer.items)
    if "set" in kinds:
        return False
    return _is_same_list_and_tuple(gold, answer)


def _only_item(form: Form) -> Form | None:
    """The element of a set of one; a form that is no collection itself."""
    if not isinstance(form, Collection):
        return form
    return form.items[0] if form.kind == "set" and len(form.items) == 1 else None


def _is_same_list_and_tuple(gold: Collection, answer: Collection) -> bool:
    """(3, 2) and "x = 3, y = 2"; (1, 2, 3) and "1, 2, 3", which two items alone are too ambiguous for."""
    values, other_values = _in_order_of_names(gold), _in_order_of_names(answer)
    is_named = values is not gold.items or other_values is not answer.items
    if len(values) != len(other_values) or (len(values) < 3 and not is_named):
        return False
    return _is_same_sequence(values, other_values)


def _in_order_of_names(collection: Collection) -> tuple[Form, ...]:
    named = [item for item in collection.items if isinstance(item, Named)]
    if len(named) != len(collection.items):
        return collection.items
    return tuple(item.form for item in sorted(named, key=lambda item: item.name))


def _is_same_sequence(items: tuple[Form, ...], other_items: tuple[Form, ...]) -> bool:
    return len(items) == len(other_items) and all(map(is_same, items, other_items))


def _is_same_bag(items: tuple[Form, ...], other_items: tuple[Form, ...]) -> bool:
    if len(items) != len(other_items):
        return False
    left = list(other_items)
    for item in items:
        match = next((index for index, other in enumerate(left) if is_same(item, other)), None)
        if match is None:
            return False
        left.pop(match)
    return True


def _is_same_set(items: tuple[Form, ...], other_items: tuple[Form, ...]) -> bool:
    """Each is among the others. The answer's come first: one that is not ends the search, however many there are."""
    return all(any(is_same(item, other) for item in items) for other in other_items) and all(
        any(is_same(item, other) for other in other_items) for item in items
    )


def _is_same_matrix(gold: Matrix, answer: Matrix) -> bool:
    if (len(gold.rows), len(gold.rows[0])) != (len(answer.rows), len(answer.rows[0])):
        return False
    return all(
        _is_same_number(entry, other)
        for row, other_row in zip(gold.rows, answer.rows, strict=True)
        for entry, other in zip(row, other_row, strict=True)
    )


def _is_same_vector(gold: Form, answer: Form) -> bool:
    """A column of a matrix and a tuple."""
    first, second = _as_column(gold), _as_column(answer)
    if first is None or second is None or len(first) != len(second):
        return False
    return all(map(_is_same_number, first, second))


def _as_column(form: Form) -> list[Node] | None:
    if isinstance(form, Matrix):
        return [row[0] for row in form.rows] if len(form.rows[0]) == 1 and len(form.rows) > 1 else None
    if isinstance(form, Collection) and form.kind == "tuple":
        nodes = [item.node for item in form.items if isinstance(item, Quantity) and item.unit is None]
        return nodes if len(nodes) == len(form.items) else None
    return None
