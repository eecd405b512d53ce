"""The innermost parts of an answer: names, mixed numbers, matrices, numerals with a base."""

from collections.abc import Sequence
from fractions import Fraction

from thinkwright.rewards.verifiers.math.expressions import Node, number, parse_expression
from thinkwright.rewards.verifiers.math.forms import SCALED, Form, Matrix, Numeral
from thinkwright.rewards.verifiers.math.tokens import Token, Unreadable, tokenize
from thinkwright.rewards.verifiers.math.units import read_multiple

PAIRS = {"(": ")", "[": "]", "{": "}", "set": "set", "<": ">"}
_VOWELS = frozenset("aeiouAEIOU")


def end_of_group(tokens: Sequence[Token]) -> int:
    """Where the bracket that ``tokens`` start with is closed."""
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0:
            return index
    return -1


def name_of(tokens: tuple[Token, ...]) -> str:
    """The name that an equation gives a value to: x, a_1, f(x), f^{-1}(x), AB, (x, y), area; "" if it is none."""
    texts = [token.text for token in tokens]
    if not texts or len(texts) > 12:
        return ""
    if all(token.kind == "word" for token in tokens):
        is_product = len(tokens) == 1 and not tokens[0].is_text and len(texts[0]) <= 3 and not texts[0].isupper()
        return "" if is_product else " ".join(texts)
    if texts[0] in ("(", "[", "|", "angle"):
        kinds = [token.kind for token in (tokens[1:] if texts[0] == "angle" else tokens[1:-1])]
        is_bare = set(kinds) <= ({"symbol", "separator"} if texts[0] == "(" else {"symbol", "word"})
        is_magnitude = texts[0] == "|" and kinds == ["symbol"]  # |x| = 5 is an equation, |AB| = 5 names a length
        return "".join(texts) if kinds and is_bare and not is_magnitude else ""
    if next(iter(tokens)).kind != "symbol":
        return ""
    if texts[-1] == ")" and "(" in texts:
        return _function_name(tokens, texts)
    node = parse_or_none(tokens)
    return node.name if node is not None and node.kind == "symbol" and node.name not in ("pi", "infty") else ""


def _function_name(tokens: tuple[Token, ...], texts: list[str]) -> str:
    opening = texts.index("(")
    head, inner = texts[:opening], tokens[opening + 1 : -1]
    is_capital = texts[0] in ("f", "g", "h") or texts[0].isupper()
    if opening > 1 and "^" in head[:2] and "".join(head[2:]).strip("{}") != "-1":
        return ""
    is_plain = all(token.kind in ("symbol", "number", "separator") for token in inner)
    return "".join(texts) if is_capital or (is_plain and texts[0] != "x" and opening == 1) else ""


def parse_or_none(tokens: tuple[Token, ...]) -> Node | None:
    """The expression, or None if it is none."""
    try:
        return parse_expression(tokens)
    except Unreadable:
        return None


def looks_like_words(tokens: tuple[Token, ...]) -> bool:
    """Letters alone, some of them side by side as in a word."""
    words = [token.text for token in tokens if token.kind == "word"]
    return all(token.kind in ("word", "symbol") for token in tokens) and any(
        _VOWELS & set(word) or word.isupper() for word in words
    )


def read_multiplier(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """5 million as 5000000, 5 hundredths as 1/20."""
    for index, token in enumerate(tokens[1:3], start=1):
        multiple = read_multiple(token)
        if multiple is not None and tokens[index - 1].kind == "number":
            value = parse_expression(tokens[index - 1 : index]).value * multiple
            return (*tokens[: index - 1], Token("number", str(value)), *tokens[index + 1 :])
    return tokens


def read_mixed_number(tokens: tuple[Token, ...]) -> Node | None:
    """2 1/3 is two and a third."""
    texts = [token.text for token in tokens]
    digits = texts[1:] if texts[:1] in (["-"], ["+"]) else texts
    if len(digits) != 4 or digits[2] != "/" or not all(text.isdigit() for text in (digits[0], digits[1], digits[3])):
        return None
    whole, above, below = int(digits[0]), int(digits[1]), int(digits[3])
    if not 0 < above < below:
        return None
    value = number(whole + Fraction(above, below))
    return Node("negative", (value,)) if texts[0] == "-" else value


def read_matrix(tokens: tuple[Token, ...]) -> Form:
    """One matrix, perhaps in brackets of its own and with a factor before it."""
    index = next(index for index, token in enumerate(tokens) if token.kind == "matrix")
    before, after = tokens[:index], tokens[index + 1 :]
    if after:
        if len(after) != 1 or not before or PAIRS.get(before[-1].text) != after[0].text or before[-1].text not in "([":
            raise Unreadable("is an expression with matrices")
        before = before[:-1]
    factor = number(1)
    if before:
        if before[-1].text == "*":
            before = before[:-1]
        factor = number(-1) if [token.text for token in before] == ["-"] else parse_expression(before)
    rows: list[tuple[Node, ...]] = []
    for row in tokens[index].text.replace("\\hline", "").split("\\\\"):
        if row.strip():
            cells = [parse_expression(tokenize(cell.strip())) for cell in row.split("&")]
            rows.append(tuple(Node("product", (factor, cell), name=SCALED) if before else cell for cell in cells))
    if not rows or len({len(row) for row in rows}) != 1:
        raise Unreadable("is a matrix of uneven rows")
    return Matrix(tuple(rows))


def read_numeral(texts: list[str]) -> Numeral | None:
    """101_2, -1A_{16}, (101)_2, 0.11_2."""
    if "_" not in texts or texts.index("_") == 0:
        return None
    if texts[0] == "-":
        numeral = read_numeral(texts[1:])
        return Numeral("-" + numeral.digits, numeral.base) if numeral else None
    split = texts.index("_")
    digits, base = "".join(texts[:split]).strip("()"), "".join(texts[split + 1 :]).strip("{}")
    whole, _, decimals = digits.partition(".")
    if not (whole + decimals).isalnum() or not digits[0].isdigit():
        return None
    if not base.isdigit() or not 2 <= int(base[:3]) <= 36 or len(base) > 2:
        raise Unreadable("is a numeral in an odd base")
    if any(int(digit, 36) >= int(base) for digit in whole + decimals):
        raise Unreadable("is a numeral with a digit its base does not have")
    return Numeral(digits.upper(), int(base))
