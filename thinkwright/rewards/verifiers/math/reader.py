r"""The text of an answer as a form: "x \\in (1, 2]" an interval, "2, 3" a list, "5 cm" a quantity.

``read_form`` takes a normalised text; what it cannot read with certainty is None, and then only compared as text.
"""

from functools import lru_cache
from itertools import pairwise

from thinkwright.rewards.verifiers.math.compare import is_same, is_same_quantity
from thinkwright.rewards.verifiers.math.expressions import Node, parse_expression
from thinkwright.rewards.verifiers.math.forms import (
    EMPTY,
    REALS,
    Collection,
    Ellipsis_,
    Equation,
    Form,
    Inequality,
    Named,
    Piece,
    Quantity,
    RealSet,
    as_real_set,
    ends_of,
    expand_signs,
    flatten,
    name_list,
    ray,
    real_numbers_without,
    spread,
)
from thinkwright.rewards.verifiers.math.leaves import (
    PAIRS,
    end_of_group,
    looks_like_words,
    name_of,
    parse_or_none,
    read_matrix,
    read_mixed_number,
    read_multiplier,
    read_numeral,
)
from thinkwright.rewards.verifiers.math.text import unwrap_text
from thinkwright.rewards.verifiers.math.tokens import Token, Unreadable, split_at, tokenize
from thinkwright.rewards.verifiers.math.units import find_unit
from thinkwright.rewards.verifiers.math.values import check_value, is_equal, symbols_of

MAX_CHARACTERS = 600
_RELATIONS = frozenset({"<", ">", "<=", ">=", "=", "!="})
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
_PHRASES: dict[str, Form] = {
    "all real numbers": REALS,
    "all reals": REALS,
    "no solution": EMPTY,
    "no solutions": EMPTY,
    "empty set": EMPTY,
    "the empty set": EMPTY,
    "no real solution": EMPTY,
    "no real solutions": EMPTY,
}


@lru_cache(maxsize=8192)
def read_form(text: str, *, read_thousands: bool = True, read_letters: bool = False) -> Form | None:
    """The form of a normalised text. ``read_thousands``: 1,234 is one number; ``read_letters``: "5 m" has a unit."""
    if len(text) > MAX_CHARACTERS:
        return None
    phrase = _PHRASES.get(unwrap_text(text).casefold().strip("{} "))
    if phrase is not None:
        return phrase
    try:
        return _Reader(read_letters).read(tokenize(text, read_thousands=read_thousands))
    except (Unreadable, ArithmeticError, RecursionError, MemoryError):
        return None


class _Reader:
    """Reads a stretch of tokens from the loosest separator inward."""

    def __init__(self, read_letters: bool) -> None:
        self.read_letters = read_letters

    def read(self, tokens: tuple[Token, ...]) -> Form:
        spellings = split_at(tokens, lambda token: token.kind == "operator" and token.text == ":")
        if len(spellings) == 2:  # x > 2 : (2, infinity)
            first, second = (self.read(part) for part in spellings)
            if isinstance(first, RealSet) and is_same(first, second):
                return first
            raise Unreadable("says two things")
        separators = {token.text for token in tokens if token.kind == "separator"}
        if separators:
            parts = [part for part in split_at(tokens, lambda token: token.kind == "separator") if part]
            if len(parts) > 1:
                return self.read_list(parts, is_choice="or" in separators)
        return self.read_single(tokens)

    def read_list(self, parts: list[tuple[Token, ...]], *, is_choice: bool) -> Form:
        items = [self.read_single(part) for part in parts]
        if not is_choice and any(token.text == "!=" for token in parts[0]):
            return self.read_exceptions(items)
        relations = [item for item in items if isinstance(item, RealSet) and item.name]
        if relations:
            if len(relations) != len(items) or len({item.name for item in relations}) > 1:
                raise Unreadable("mixes inequalities with other answers")
            if not is_choice:
                raise Unreadable("lists inequalities that hold together")
            return RealSet(tuple(piece for item in relations for piece in item.pieces), relations[0].name)
        if any(isinstance(item, Inequality) for item in items):
            raise Unreadable("lists inequalities")
        return name_list(items)

    def read_exceptions(self, items: list[Form]) -> Form:
        """x != 1, 2 or x != 1, x != 2: all real numbers but these."""
        first = items[0]
        if not isinstance(first, RealSet) or not first.name:
            raise Unreadable("says in an odd way what is not equal")
        points: list[Node] = []
        for item in items:
            left_out = [piece.low for piece in item.pieces[1:]] if isinstance(item, RealSet) else []
            if isinstance(item, Quantity):
                points.append(item.node)
            elif left_out and item == RealSet(real_numbers_without(left_out).pieces, first.name):
                points += left_out
            else:
                raise Unreadable("says in an odd way what is not equal")
        return RealSet(real_numbers_without(points).pieces, first.name)

    def read_single(self, tokens: tuple[Token, ...]) -> Form:
        if [token.text for token in tokens] == ["…"]:
            return Ellipsis_()
        readers = (self.read_membership, self.read_relation, self.read_union, self.read_bracketed, self.read_special)
        for read in readers:
            form = read(tokens)
            if form is not None:
                return form
        return self.read_quantity(tokens)

    def read_membership(self, tokens: tuple[Token, ...]) -> Form | None:
        parts = split_at(tokens, lambda token: token == ("operator", "∈", token.is_spaced, token.is_text))
        if len(parts) == 1:
            return None
        form = self.read_single(parts[1])
        name = name_of(parts[0])
        if len(parts) > 2 or not name:
            raise Unreadable("says what is in what in an odd way")
        pieces = as_real_set(form)
        return RealSet(pieces.pieces, name) if pieces is not None else Named(name, form, None)

    def read_relation(self, tokens: tuple[Token, ...]) -> Form | None:
        signs: list[str] = []
        parts = split_at(tokens, lambda token: token.kind == "operator" and token.text in _RELATIONS)
        depth = 0
        for token in tokens:
            depth += (token.kind == "open") - (token.kind == "close")
            if depth == 0 and token.kind == "operator" and token.text in _RELATIONS:
                signs.append(token.text)
        if not signs:
            return None
        if set(signs) == {"="}:
            return self.read_equation(parts)
        if "=" in signs or len(signs) > 2:
            raise Unreadable("mixes relations")
        return self.read_inequality(parts, signs)

    def read_equation(self, parts: list[tuple[Token, ...]]) -> Form:
        name = name_of(parts[0])
        if name:
            return Named(name, self.read_chain(parts[1:]), parse_or_none(parts[0]))
        if len(parts) == 2:
            last_name = name_of(parts[1])
            if last_name:
                return Named(last_name, self.read_single(parts[0]), parse_or_none(parts[1]))
            left, right = parse_or_none(parts[0]), parse_or_none(parts[1])
            has_variables = left and right and symbols_of(left) | symbols_of(right)
            if left and right and has_variables and not is_equal(left, right):
                return Equation(left, right)
        return self.read_chain(parts)

    def read_chain(self, parts: list[tuple[Token, ...]]) -> Form:
        """a = b = c is one value if it is true: "5 = 6" is no answer."""
        forms = [self.read_single(part) for part in parts]
        for before, after in pairwise(forms):
            if not isinstance(before, Quantity) or not isinstance(after, Quantity):
                raise Unreadable("is a chain of equations")
            if not is_same_quantity(before, after):
                raise Unreadable("is an equation that does not hold")
        return forms[-1]

    def read_inequality(self, parts: list[tuple[Token, ...]], signs: list[str]) -> Form:
        names = [name_of(part) for part in parts]
        if len(parts) == 2:
            if names[1] and not names[0]:
                parts, signs, names = parts[::-1], [_FLIPPED[signs[0]]], names[::-1]
            if names[0]:
                if signs[0] == "!=":
                    form = self.read_single(parts[1])
                    items = form.items if isinstance(form, Collection) and form.kind == "list" else (form,)
                    nodes = [item.node for item in items if isinstance(item, Quantity)]
                    if len(nodes) == len(items) and not any(map(symbols_of, nodes)):
                        return RealSet(real_numbers_without(nodes).pieces, names[0])
                elif not symbols_of(bound := self.read_bound(parts[1])):
                    return RealSet(ray(signs[0], bound), names[0])
            if signs[0] == "!=":
                raise Unreadable("says only what is not equal")
            if signs[0] in (">", ">="):
                parts = parts[::-1]
            return Inequality("=" not in signs[0], parse_expression(parts[0]), parse_expression(parts[1]))
        if signs[0][0] != signs[1][0] or not names[1] or "!=" in signs:
            raise Unreadable("is an odd inequality")
        if signs[0][0] == ">":
            parts, signs = parts[::-1], signs[::-1]
        low, high = self.read_bound(parts[0]), self.read_bound(parts[2])
        return RealSet((Piece(low, high, signs[0].endswith("="), signs[1].endswith("=")),), names[1])

    def read_bound(self, tokens: tuple[Token, ...]) -> Node:
        form = self.read_quantity(tokens)
        if not isinstance(form, Quantity):
            raise Unreadable("has an odd bound")
        return form.node

    def read_union(self, tokens: tuple[Token, ...]) -> Form | None:
        parts = split_at(tokens, lambda token: token.kind == "operator" and token.text == "∪")
        if len(parts) > 1:
            sets = [as_real_set(self.read_single(part)) for part in parts if part]
            if None in sets:
                raise Unreadable("is a union of what are no sets of numbers")
            return RealSet(tuple(piece for found in sets if found for piece in found.pieces))
        parts = split_at(tokens, lambda token: token.kind == "operator" and token.text == "∖")
        if len(parts) != 2:
            return None
        whole, points = as_real_set(self.read_single(parts[0])), as_real_set(self.read_single(parts[1]))
        if whole != REALS or points is None or any(piece.low != piece.high for piece in points.pieces):
            raise Unreadable("is an odd difference of sets")
        return real_numbers_without([piece.low for piece in points.pieces])

    def read_bracketed(self, tokens: tuple[Token, ...]) -> Form | None:
        """A tuple, set, interval or vector, if one pair of brackets holds the whole."""
        if len(tokens) < 2 or tokens[0].kind != "open" or end_of_group(tokens) != len(tokens) - 1:
            return None
        opening, closing, inner = tokens[0].text, tokens[-1].text, tokens[1:-1]
        if opening in ("floor", "ceil"):
            return None
        items = [part for part in split_at(inner, lambda token: token.text in (",", ";")) if part]
        if opening == "set" or (opening == "{" and len(items) > 1):
            return self.read_set(inner, items)
        if len(items) == 1:
            return self.read_single(inner) if PAIRS.get(opening) == closing and opening in "([{" else None
        forms = [self.read_single(item) for item in items]
        if PAIRS.get(opening) == closing:
            if all(isinstance(form, Named) for form in forms):
                return name_list(forms)
            return spread(Collection("square" if opening == "[" else "tuple", tuple(forms)))
        if len(forms) != 2 or not (opening in "([" and closing in ")]"):
            raise Unreadable("has brackets that do not match")
        ends = ends_of(tuple(forms))
        if ends is None:
            raise Unreadable("is an interval whose ends are not in order")
        low, high = ends
        return RealSet((Piece(low, high, opening == "[", closing == "]"),))

    def read_set(self, inner: tuple[Token, ...], items: list[tuple[Token, ...]]) -> Form:
        for bar in ("|", ":"):
            parts = split_at(inner, lambda token, bar=bar: token.kind == "operator" and token.text == bar)
            if len(parts) == 2 and name_of(parts[0]):
                return self.read(parts[1])
        forms = [self.read_single(item) for item in items]
        return Collection("set", flatten(forms))

    def read_special(self, tokens: tuple[Token, ...]) -> Form | None:
        r"""\mathbb{R}, the empty set, matrices, numerals with a base."""
        texts = [token.text for token in tokens]
        if texts == ["reals"]:
            return REALS
        if texts == ["emptyset"]:
            return EMPTY
        if any(token.kind == "matrix" for token in tokens):
            return read_matrix(tokens)
        return read_numeral(texts)

    def read_quantity(self, tokens: tuple[Token, ...]) -> Form:
        tokens, unit = find_unit(read_multiplier(tokens), read_letters=self.read_letters)
        if looks_like_words(tokens):
            raise Unreadable("is a word")
        node = read_mixed_number(tokens) or parse_expression(tokens)
        forms = tuple(Quantity(each, unit) for each in expand_signs(node))
        for form in forms:
            check_value(form.node)
        return forms[0] if len(forms) == 1 else Collection("list", forms)
