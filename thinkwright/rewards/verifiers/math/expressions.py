r"""Expressions such as ``-\frac{1+\sqrt{5}}{2}x^2`` or ``2*sin(pi*x)``: tokens to a tree.

Reads both LaTeX and plain notation. Two letters side by side are a product, a word is not: what might be either (a
variable or the start of a word) raises ``Unreadable`` rather than guessing.
"""

from dataclasses import dataclass
from fractions import Fraction

from thinkwright.rewards.verifiers.math.tokens import Token, Unreadable

_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">", "floor": "floor", "ceil": "ceil", "set": "set"}
_NAMED_FUNCTIONS = frozenset("fgh")  # f(x) is not f times x
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}


@dataclass(frozen=True, slots=True)
class Node:
    """A tree. ``kind``: number, symbol, negative, plus_minus, minus_plus, sum, product, quotient, power, or a function.

    ``name`` is a symbol's name, and of a number its decimals as written.
    """

    kind: str
    args: tuple["Node", ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


def number(value: Fraction | int) -> Node:
    """The tree of a number."""
    return Node("number", value=Fraction(value))


def parse_expression(tokens: tuple[Token, ...]) -> Node:
    """The tree of all ``tokens``, or ``Unreadable``."""
    parser = _Parser(tokens)
    if not tokens:
        raise Unreadable("is empty")
    node = parser.read_sum()
    if parser.index != len(parser.tokens):
        raise Unreadable("goes on after the expression")
    return node


class _Parser:
    """Recursive descent; its state is the place reached."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = list(tokens)
        self.index = 0
        self.bars = 0  # open |

    def peek(self, offset: int = 0) -> Token:
        place = self.index + offset
        return self.tokens[place] if place < len(self.tokens) else Token("end", "")

    def take(self) -> Token:
        token = self.peek()
        if token.kind == "end":
            raise Unreadable("breaks off")
        self.index += 1
        return token

    def skip(self, kind: str, text: str) -> bool:
        token = self.peek()
        if token.kind == kind and token.text == text:
            self.index += 1
            return True
        return False

    def is_operator(self, texts: str) -> bool:
        token = self.peek()
        return token.kind == "operator" and token.text in texts

    def read_sum(self) -> Node:
        node = self.read_product()
        while self.is_operator("+-±∓"):
            sign = self.take().text
            node = Node("sum", (node, _signed(sign, self.read_product())))
        return node

    def read_product(self, *, in_argument: bool = False) -> Node:
        node = self.read_signed()
        while True:
            if self.is_operator("*/") and not in_argument:
                kind = "product" if self.take().text == "*" else "quotient"
                node = Node(kind, (node, self.read_signed()))
            elif self.starts_factor() and not (in_argument and self.peek().kind in ("function", "open")):
                if self.peek().kind == "number" and self.peek(-1).text != ")":
                    raise Unreadable("has a number right after a factor")
                node = Node("product", (node, self.read_power()))
            else:
                return node

    def read_signed(self) -> Node:
        signs: list[str] = []
        while self.is_operator("+-±∓"):
            signs.append(self.take().text)
        if len(signs) > 2:
            raise Unreadable("has a row of signs")
        node = self.read_power()
        for sign in reversed(signs):
            node = _signed(sign, node)
        return node

    def starts_factor(self) -> bool:
        token = self.peek()
        if token.kind == "operator":
            return token.text == "|" and self.bars == 0
        return token.kind in ("number", "symbol", "word", "function", "command", "open")

    def read_power(self) -> Node:
        node = self.read_atom()
        while True:
            if self.skip("operator", "!"):
                node = Node("factorial", (node,))
            elif self.skip("operator", "°"):
                node = Node("degrees", (node,))
            elif self.skip("operator", "^"):
                node = Node("power", (node, self.read_exponent()))
            else:
                return node

    def read_exponent(self) -> Node:
        if self.is_operator("+-"):
            return _signed(self.take().text, self.read_exponent())
        node = self.read_atom()
        while self.skip("operator", "!"):
            node = Node("factorial", (node,))
        if self.is_operator("^"):  # 2^3^2 in plain text is 2^(3^2)
            self.take()
            node = Node("power", (node, self.read_exponent()))
        return node

    def read_atom(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.read_number(token)
        if token.kind == "symbol":
            return self.read_symbol(token)
        if token.kind == "word":
            return self.read_letters(token)
        if token.kind == "function":
            return self.read_function(token.text)
        if token.kind == "command":
            return self.read_command(token.text)
        if token.kind == "open":
            return self.read_group(token.text)
        if token == ("operator", "|", token.is_spaced, token.is_text):
            self.bars += 1
            node = self.read_sum()
            self.bars -= 1
            if not self.skip("operator", "|"):
                raise Unreadable("has a bar that is not closed")
            return Node("abs", (node,))
        raise Unreadable(f"has {token.text} where a number or symbol should be")

    def read_group(self, opening: str) -> Node:
        if opening in ("<", "set"):
            raise Unreadable("is a set or vector inside an expression")
        bars, self.bars = self.bars, 0
        node = self.read_sum()
        self.bars = bars
        if not self.skip("close", _CLOSING[opening]):
            raise Unreadable("has a bracket that is not closed")
        return Node(opening, (node,)) if opening in ("floor", "ceil") else node

    def read_number(self, token: Token) -> Node:
        value = Fraction(token.text)
        if self.is_operator("_"):
            raise Unreadable("is a numeral with a base inside an expression")
        if value.denominator == 1 and self.peek().text == "frac" and "." not in token.text:
            return self.read_mixed(value)
        _, _, decimals = token.text.partition(".")
        return Node("number", value=value, name=decimals if decimals.isdigit() else "")

    def read_mixed(self, whole: Fraction) -> Node:
        r"""2\frac{1}{3} is two and a third; a fraction that is not proper is multiplied with what stands before it."""
        start = self.index
        self.take()
        fraction = self.read_command("frac")
        above, below = (arg.value if arg.kind == "number" else Fraction(0) for arg in fraction.args)
        if 0 < above < below and above.denominator == below.denominator == 1:
            return number(whole + above / below)
        self.index = start
        return number(whole)

    def read_symbol(self, token: Token) -> Node:
        name = token.text
        if self.skip("operator", "_"):
            name += "_" + self.read_subscript()
        while self.skip("operator", "'"):
            name += "'"
        if name in _NAMED_FUNCTIONS and self.peek().text == "(":
            raise Unreadable("names a function")
        return Node("symbol", name=name)

    def read_subscript(self) -> str:
        token = self.take()
        if token.kind in ("number", "symbol", "word"):
            return token.text
        if (token.kind, token.text) != ("open", "{"):
            raise Unreadable("has an odd subscript")
        parts: list[str] = []
        while not self.skip("close", "}"):
            parts.append(self.take().text)
        return "".join(parts)

    def read_letters(self, token: Token) -> Node:
        """Two or three letters are a product of variables; more may be a word."""
        letters = token.text
        if token.is_text or len(letters) > 3:
            raise Unreadable("has a word in it")
        node = Node("symbol", name=letters[0])
        for letter in letters[1:-1]:
            node = Node("product", (node, Node("symbol", name=letter)))
        last = self.read_symbol(Token("symbol", letters[-1]))
        if self.is_operator("^"):  # ab^2 is a times b^2
            self.take()
            last = Node("power", (last, self.read_exponent()))
        return Node("product", (node, last))

    def read_argument(self) -> Node:
        r"""One braced group or one token: \frac12 is one half, \frac123 one half times 3."""
        token = self.take()
        if token.kind == "number" and len(token.text) > 1 and token.text.isdigit():
            self.index -= 1
            self.tokens[self.index] = Token("number", token.text[1:])
            return number(int(token.text[0]))
        if token.kind in ("open", "symbol", "number"):
            self.index -= 1
            return self.read_atom()
        if token.kind == "command" or token.kind == "function":
            self.index -= 1
            return self.read_atom()
        raise Unreadable("has a command without its argument")

    def read_command(self, name: str) -> Node:
        if name not in ("frac", "binom"):
            raise Unreadable(f"has {name} inside an expression")
        return Node("quotient" if name == "frac" else "binomial", (self.read_argument(), self.read_argument()))

    def read_function(self, name: str) -> Node:
        if name == "sqrt":
            return self.read_root()
        base = self.read_log_base() if name == "log" else None
        exponent = self.read_exponent() if self.skip("operator", "^") else None
        if exponent == Node("negative", (number(1),)) and name in _INVERSES:
            name, exponent = _INVERSES[name], None
        argument = self.read_function_argument()
        node = Node(name, (argument,))
        if base is not None:
            node = Node("quotient", (Node("ln", (argument,)), Node("ln", (base,))))
        return node if exponent is None else Node("power", (node, exponent))

    def read_function_argument(self) -> Node:
        """In brackets, or the factors up to the next sign, operator or function."""
        token = self.peek()
        if token.kind == "open" and token.text in ("(", "[", "{"):
            self.take()
            return self.read_group(token.text)
        if token.kind == "function":
            return self.read_power()
        return self.read_product(in_argument=True)

    def read_log_base(self) -> Node | None:
        return self.read_argument_whole() if self.skip("operator", "_") else None

    def read_argument_whole(self) -> Node:
        """Like an argument, but a number is taken with all its digits, as people mean it."""
        return self.read_number(self.take()) if self.peek().kind == "number" else self.read_argument()

    def read_root(self) -> Node:
        index = number(2)
        if self.peek() == Token("open", "[", self.peek().is_spaced):
            self.take()
            index = self.read_group("[")
        radicand = self.read_argument_whole()
        return Node("root", (radicand, index))


def _signed(sign: str, node: Node) -> Node:
    if sign == "+":
        return node
    return Node({"-": "negative", "±": "plus_minus", "∓": "minus_plus"}[sign], (node,))
