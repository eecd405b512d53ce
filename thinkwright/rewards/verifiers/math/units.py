"""Units: which word measures what. A quantity is compared with its unit where both sides write one.

A word that is no known unit ("18 apples") counts as a unit of its own, so 18 apples are not 18 pears.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from thinkwright.rewards.verifiers.math.tokens import Token, Unreadable

# name, what it measures, how much of the base unit; the other spellings after it
_TABLE = """
    mm length 1/1000 millimeter millimetre | cm length 1/100 centimeter centimetre 厘米 | dm length 1/10 decimeter 分米
    m length 1 meter metre 米 | km length 1000 kilometer kilometre 千米 公里 | in length 127/5000 inch inche
    ft length 381/1250 foot feet | yd length 1143/1250 yard | mi length 201168/125 mile
    mg mass 1/1000000 milligram | g mass 1/1000 gram gm 克 | kg mass 1 kilogram 千克 公斤 | t mass 1000 tonne 吨
    lb mass 45359237/100000000 pound lbs | oz mass 45359237/1600000000 ounce
    s time 1 sec second 秒 | min time 60 minute 分钟 | h time 3600 hr hour 小时 时
    day time 86400 天 | week time 604800 周
    ml volume 1/1000000 mL milliliter millilitre 毫升 | l volume 1/1000 L liter litre 升
    dollar money 1 $ USD usd buck | cent money 1/100 ¢ | euro euro 1 € EUR | yuan yuan 1 ¥ RMB 元 | jiao yuan 1/10 角
    £ pounds_sterling 1 GBP | C celsius 1 celsius celsiu | F fahrenheit 1
    degree angle 1 ° deg 度 | rad radian 1 radian
    unit unit 1 | mph length/time 1397/3125 | kmh length/time 5/18 kph
    km² length2 1000000 平方千米 | m² length2 1 平方米 | cm² length2 1/10000 平方厘米 | dm² length2 1/100 平方分米
    m³ length3 1 立方米 | cm³ length3 1/1000000 立方厘米 | dm³ length3 1/1000 立方分米
"""
# Words of three letters or fewer that are no product of variables, and single letters that may be a unit.
_SHORT_WORD_LIST = "men man day cup car dog cat pen egg box bag bus ant cow hen pig boy toy way ton per sq cu"
_SHORT_WORDS = frozenset(_SHORT_WORD_LIST.split())
LETTER_UNITS = frozenset("msghltLCFKNJWVA")
# Words that change or hedge a number rather than say what is counted.
_REFUSED_WORDS = """
    not no nor but maybe perhaps approximately about around roughly nearly almost over under if when where than then
    is are was be because since so to through until from with without times plus minus divided multiplied mod modulo
    half halves third fourth fifth sixth seventh eighth ninth tenth hundredth thousandth quarter squared cubed dozen
    score pair negative positive point factorial st nd rd th any all each more less fewer most least only both either
    neither except undefined wrong incorrect false true hundred ten twenty one two three four five six seven eight nine
    too many instead unless excluded excluding mille lakh crore grand gross bn mn
"""
_REFUSED = frozenset(_REFUSED_WORDS.split())
_REFUSED_LETTERS = frozenset("kMB")  # thousand, million, billion
_UNITS_BY_PLURAL = frozenset({"point"})  # "5 point 3" is a number, 5 points are a score
_ORDINAL = re.compile(r"\w*(?:four|fif|six|seven|eigh|nin|ten|elev|twelf|teen|tie|hundred|thousand|illion)(?:en)?th")
_REFUSED_CHARACTERS = frozenset("万亿千百十半零一二三四五六七八九分之成折或到不约多非倍和与")
_MULTIPLES: dict[str, Fraction] = {
    "thousand": Fraction(10**3), "million": Fraction(10**6), "billion": Fraction(10**9), "trillion": Fraction(10**12),
    "dozen": Fraction(12), "tenth": Fraction(1, 10), "hundredth": Fraction(1, 100), "thousandth": Fraction(1, 1000),
}  # fmt: skip
_PERCENT_WORDS = (["%"], ["percent"], ["per", "cent"])
MAX_WORDS = 4


@dataclass(frozen=True)
class Unit:
    """What a number counts: base measures with their exponents, and how much of them one is."""

    measures: frozenset[tuple[str, int]]
    size: Fraction = Fraction(1)


PERCENT = Unit(frozenset({("percent", 1)}))


def read_multiple(token: Token) -> Fraction | None:
    """How much one of it is, of a word such as million or hundredths that belongs to the number before it."""
    return _MULTIPLES.get(_singular(token.text.lower())) if token.kind == "word" else None


def find_unit(tokens: tuple[Token, ...], *, read_letters: bool = False) -> tuple[tuple[Token, ...], Unit | None]:
    """The tokens of the number, and the unit written before or after it."""
    if tokens and tokens[0].kind == "operator" and tokens[0].text in _CURRENCIES:
        return tokens[1:], parse_unit(tokens[:1])
    if len(tokens) > 2 and tokens[0].text == "-" and tokens[1].text in _CURRENCIES:
        return (tokens[0], *tokens[2:]), parse_unit(tokens[1:2])
    if len(tokens) > 1 and tokens[-1].text == "sec":  # the second, as the secant has an argument
        tokens = (*tokens[:-1], tokens[-1]._replace(kind="word"))
    start = next((index for index, token in enumerate(tokens) if _starts_unit(token, read_letters and index > 0)), None)
    if start is None or start == 0:
        return tokens, None
    if tokens[start].text == "°" and any(token.kind == "function" for token in tokens[:start]):
        return tokens, None  # the angle of a sine
    rest = tokens[start:]
    if any(not _continues_unit(token) for token in rest):
        return tokens, None
    return tokens[:start], parse_unit(rest)


def parse_unit(tokens: tuple[Token, ...]) -> Unit | None:
    r"""The unit that ``cm^2``, ``square feet``, ``km/h`` or ``apples`` names; ``%`` is ``PERCENT``."""
    if [token.text for token in tokens] in _PERCENT_WORDS:
        return PERCENT
    if any(_singular(token.text) in ("percent", "percentage") for token in tokens):
        raise Unreadable("has an odd unit")
    measures: dict[str, int] = {}
    size = Fraction(1)
    exponent_before, direction, num_words, index = 1, 1, 0, 0
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if token.text in ("/", "per"):
            direction = -1
        elif token.text in ("square", "sq", "cubic", "cu"):
            exponent_before = 2 if token.text.startswith("sq") else 3
        elif token.kind in ("word", "symbol", "function") or token.text in _CURRENCIES or token.text == "°":
            exponent, index = _read_exponent(tokens, index)
            num_words += 1
            power = (exponent_before if exponent is None else exponent) * direction
            exponent_before = 1
            size *= _add(measures, token.text, power)
        elif token.text not in ("*", "of", "-", "."):
            raise Unreadable("has an odd unit")
    if num_words == 0 or num_words > MAX_WORDS:
        raise Unreadable("has an odd unit")
    return Unit(frozenset((name, power) for name, power in measures.items() if power), size)


def _add(measures: dict[str, int], word: str, power: int) -> Fraction:
    """Enters the word's measures; returns the size of one of it."""
    measure, size = _KNOWN.get(word) or _KNOWN.get(_singular(word)) or (_singular(word), Fraction(1))
    if measure == "length/time":
        measures["length"] = measures.get("length", 0) + power
        measures["time"] = measures.get("time", 0) - power
    elif measure in ("length2", "length3"):
        measures["length"] = measures.get("length", 0) + power * int(measure[-1])
    else:
        measures[measure] = measures.get(measure, 0) + power
    return size**power


def _read_exponent(tokens: tuple[Token, ...], index: int) -> tuple[int | None, int]:
    """The exponent at ``index``, if one stands there, and the index after it."""
    if index >= len(tokens) or tokens[index].text != "^":
        return None, index
    end = index + 1
    texts: list[str] = []
    while end < len(tokens) and len(texts) < 4:
        texts.append(tokens[end].text)
        end += 1
        if texts[0] != "{" or texts[-1] == "}":
            break
    digits = "".join(texts).strip("{}")
    if digits not in ("1", "2", "3", "-1", "-2", "-3"):
        raise Unreadable("has an odd unit")
    return int(digits), end


def _starts_unit(token: Token, read_letters: bool) -> bool:
    if token.kind == "operator":
        return token.text in ("%", "°") or token.text in _CURRENCIES
    if token.kind == "symbol":
        return token.is_text or (read_letters and token.is_spaced and token.text in LETTER_UNITS)
    return token.kind == "word" and _is_counted(token)


def _is_counted(token: Token) -> bool:
    """Whether this word says what a number counts. A short one outside ``\\text`` may be a product of variables."""
    word = token.text
    if _is_refused(word) or (word not in _KNOWN and _REFUSED_CHARACTERS & set(word)):
        return False
    if len(word) <= 3 and not token.is_text and token.text.isascii():
        return word in _KNOWN or word in _SHORT_WORDS or _singular(word) in _KNOWN
    return True


def _is_refused(word: str) -> bool:
    """Whether it, or what it is the plural of, changes the number."""
    plain = word.lower()
    single = _singular(plain)
    is_plural = single in _REFUSED and single not in _UNITS_BY_PLURAL
    is_number = single in _MULTIPLES or _ORDINAL.fullmatch(single) is not None
    return plain in _REFUSED or is_plural or is_number or word in _REFUSED_LETTERS


def _continues_unit(token: Token) -> bool:
    if token.kind == "word":
        return _is_counted(token)
    if token.kind in ("open", "close"):
        return token.text in "{}"
    if token.kind == "number":
        return token.text in ("1", "2", "3")
    return token.kind == "symbol" or token.text in ("^", "/", "*", "-", "°", "%") or token.text in _CURRENCIES


def _singular(word: str) -> str:
    word = word.lower() if len(word) > 1 else word
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word


def _read_table() -> dict[str, tuple[str, Fraction]]:
    known: dict[str, tuple[str, Fraction]] = {}
    for line in _TABLE.strip().splitlines():
        for entry in line.split("|"):
            name, measure, size, *others = entry.split()
            known.update(dict.fromkeys([name, *others], (measure, Fraction(size))))
    return known


_KNOWN = _read_table()
_CURRENCIES = frozenset("$€£¥¢")
