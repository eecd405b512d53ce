"""A normalised answer as tokens. What no answer is written with raises ``Unreadable``."""

import re
from collections.abc import Callable
from typing import NamedTuple

MAX_TOKENS = 400
MAX_DEPTH = 24
MAX_DIGITS = 400


class Unreadable(ValueError):
    """The text is not mathematics that this reader knows, or is larger than it takes on."""


class Token(NamedTuple):
    """One token. ``kind``: number, symbol, word, function, command, operator, open, close, separator, matrix."""

    kind: str
    text: str
    is_spaced: bool = False
    """White space stands before it."""
    is_text: bool = False
    r"""It stands in ``\text{...}`` or the like."""


_FUNCTION_NAMES = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp sqrt abs floor ceil"
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_FUNCTION_SPELLINGS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "cosec": "csc", "lg": "log", "tg": "tan"}
_GREEK_NAMES = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau upsilon
    phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar
"""
_GREEK = frozenset(_GREEK_NAMES.split())
_OPERATORS = {
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "pm": "±", "mp": "∓", "cup": "∪", "in": "∈", "setminus": "∖",
    "mid": "|", "vert": "|", "lvert": "|", "rvert": "|", "prime": "'", "colon": ":",
}  # fmt: skip
_PLAIN_NAMES = {"pi": "pi", "infinity": "infty", "inf": "infty", "oo": "infty", "theta": "theta", "lambda": "lambda"}
_BRACKETS = {"langle": ("open", "<"), "rangle": ("close", ">"), "lfloor": ("open", "floor"),
             "rfloor": ("close", "floor"), "lceil": ("open", "ceil"), "rceil": ("close", "ceil"),
             "{": ("open", "set"), "}": ("close", "set")}  # fmt: skip
_SEPARATORS = {"or": "or", "and": "and", "lor": "or", "vee": "or", "land": "and", "wedge": "and"}
_COMMANDS = frozenset({"frac", "binom", "emptyset", "reals", "angle"})
_TOKEN = re.compile(
    r"""(?P<space>\ +)
    | \\begin\s*\{(?P<environment>[pb]?matrix|array|smallmatrix)\}(?:\s*\{[lcr|\s]*\})?
      (?P<body>(?:(?!\\(?:begin|end)(?![A-Za-z])).)*)\\end\s*\{(?P=environment)\}
    | \\(?:vec|hat|overrightarrow|widehat|bar|overline|tilde)(?![A-Za-z])\s*
      (?:\{(?P<accented>[A-Za-z\s]{1,4}|\\[A-Za-z]+\s?)\}|(?P<accented_letter>[A-Za-z]))
    | \\(?P<style>text(?:bf|it|rm|normal|sf)?|mbox|hbox|math(?:rm|it|bf|sf)|bold|operatorname)\s*
      \{(?P<styled>[^{}]*)\}
    | \\(?P<command>[A-Za-z]+|[{}%])
    | (?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)
      (?P<exponent>E[-+]?[0-9]+|(?<=[0-9.]{3})e[-+]?[0-9]+|e-[0-9]{2,})?
    | (?P<letters>[A-Za-z]+)
    | (?P<operator>\*\*|<=|>=|!=|[-+*/^_!'=<>|:…°%$€£¥¢])
    | (?P<bracket>[()\[\]{}])
    | (?P<separator>[,;])
    | (?P<characters>[\u2e80-\u9fff]+)""",
    re.VERBOSE | re.DOTALL,
)
_BRACE = Token("open", "{")
_REPEATING = re.compile(r"([0-9]{0,60})\.([0-9]{0,60})\\(?:overline|bar|dot)\s*\{([0-9]{1,60})\}")


def tokenize(text: str, *, read_thousands: bool = True) -> tuple[Token, ...]:
    """The tokens of a normalised text. A comma in a number is a thousands separator only outside brackets."""
    tokens: list[Token] = []
    position, depth, comma_depth, is_spaced = 0, 0, 0, False
    text = _REPEATING.sub(_spell_repeating, text)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(tokens) > MAX_TOKENS:
            raise Unreadable("has a character that is no part of mathematics" if match is None else "is too long")
        for token in _read_token(match, is_spaced, read_thousands and comma_depth <= 0):
            change = (token.kind == "open") - (token.kind == "close")
            depth += change
            # Braces after a command only group; those that open an answer make a set.
            comma_depth += change if token.text not in "{}" or tokens[:1] in ([], [_BRACE]) else 0
            tokens.append(token)
        if depth > MAX_DEPTH:
            raise Unreadable("nests brackets too deeply")
        is_spaced = match["space"] is not None
        position = match.end()
    return tuple(tokens)


def split_at(tokens: tuple[Token, ...], is_separator: Callable[[Token], bool]) -> list[tuple[Token, ...]]:
    """The stretches of ``tokens`` between the separators outside all brackets."""
    parts: list[tuple[Token, ...]] = []
    start = depth = 0
    for index, token in enumerate(tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0 and is_separator(token):
            parts.append(tokens[start:index])
            start = index + 1
    return [*parts, tokens[start:]]


def _read_token(match: re.Match[str], is_spaced: bool, read_thousands: bool) -> list[Token]:
    if match["space"] is not None:
        return []
    if match["number"] is not None:
        return _read_number(match, is_spaced, read_thousands)
    if match["environment"] is not None:
        return [Token("matrix", match["body"], is_spaced)]
    accented = match["accented"] or match["accented_letter"]
    if accented is not None:
        return [Token("symbol", f"accented {accented.strip()}", is_spaced)]
    if match["style"] is not None:
        return _read_styled(match["style"], match["styled"], is_spaced)
    if match["command"] is not None:
        return [_read_command(match["command"], is_spaced)]
    if match["letters"] is not None:
        return [_read_letters(match["letters"], is_spaced)]
    if match["bracket"] is not None:
        return [Token("open" if match[0] in "([{" else "close", match[0], is_spaced)]
    kind = "word" if match["characters"] is not None else "operator" if match["operator"] else "separator"
    return [Token(kind, "^" if match[0] == "**" else match[0], is_spaced, kind == "word")]


def _read_number(match: re.Match[str], is_spaced: bool, read_thousands: bool) -> list[Token]:
    if len(match["number"]) > MAX_DIGITS:
        raise Unreadable("has a number of too many digits")
    if match["exponent"] and abs(int(match["exponent"][1:7])) > MAX_DIGITS:
        raise Unreadable("has a number with too large an exponent")
    if read_thousands or "," not in match["number"]:
        return [Token("number", match[0].replace(",", ""), is_spaced)]
    tokens: list[Token] = []
    for part in match[0].split(","):
        tokens += [Token("separator", ","), Token("number", part)] if tokens else [Token("number", part, is_spaced)]
    return tokens


def _read_styled(style: str, content: str, is_spaced: bool) -> list[Token]:
    r"""``\mathbf{v}`` is a symbol, ``\operatorname{sin}`` a function, and what ``\text`` holds words and numbers."""
    content = content.strip()
    if style == "operatorname" or content in FUNCTIONS or content in ("e", "i"):
        return [_read_letters(content, is_spaced)] if content.isalpha() else []
    if style in ("mathbf", "bold", "mathit") and len(content) == 1 and content.isalpha():
        return [Token("symbol", content, is_spaced)]
    words: list[Token] = []
    for token in tokenize(content.replace("\\", " ").rstrip(". ")):
        kind = "word" if token.kind in ("symbol", "function") else token.kind
        words.append(Token(kind, token.text, is_spaced=True, is_text=True))
    return words


def _read_command(name: str, is_spaced: bool) -> Token:
    if name in _OPERATORS or name == "%":
        return Token("operator", _OPERATORS.get(name, name), is_spaced)
    if name in _SEPARATORS:
        return Token("separator", _SEPARATORS[name], is_spaced)
    if name in _BRACKETS:
        return Token(*_BRACKETS[name], is_spaced)
    if name in FUNCTIONS or name in _FUNCTION_SPELLINGS:
        return Token("function", _FUNCTION_SPELLINGS.get(name, name), is_spaced)
    if name in _GREEK or name in ("pi", "infty"):
        return Token("symbol", name, is_spaced)
    if name in _COMMANDS:
        return Token("command", name, is_spaced)
    raise Unreadable(f"has the command \\{name}")


def _read_letters(letters: str, is_spaced: bool) -> Token:
    if letters in _SEPARATORS:
        return Token("separator", _SEPARATORS[letters], is_spaced)
    if letters in FUNCTIONS or letters in _FUNCTION_SPELLINGS:
        return Token("function", _FUNCTION_SPELLINGS.get(letters, letters), is_spaced)
    name = _PLAIN_NAMES.get(letters, letters)
    is_symbol = len(letters) == 1 or letters in _PLAIN_NAMES or letters in _GREEK
    return Token("symbol" if is_symbol else "word", name, is_spaced)


def _spell_repeating(match: re.Match[str]) -> str:
    r"""0.1\overline{6} as (1/10+6/90)."""
    whole, fixed, repeated = match[1] or "0", match[2], match[3]
    denominator = 10 ** len(fixed) * (10 ** len(repeated) - 1)
    value = int(whole + fixed + repeated) - int(whole + fixed)
    return rf"\frac{{{value}}}{{{denominator}}}"
