"""The many spellings of one answer made one: Unicode and LaTeX variants, spacing, words.

``normalise`` changes how a text is written, never what it says; ``is_same_text`` compares what is left.
"""

import re
import unicodedata

# Each character and what it becomes.
_SPELLING_TABLE = r"""
    − - ﹣ - × \times ⋅ \cdot · \cdot ∙ \cdot ÷ \div ≤ \leq ⩽ \leq ≥ \geq ⩾ \geq ≠ \neq ± \pm ∓ \mp ∞ \infty π \pi
    √ \sqrt ∪ \cup ∩ \cap ∈ \in ∅ \emptyset ℝ \mathbb{R} ° ^\circ º ^\circ ′ ' ’ ' ⟨ \langle ⟩ \rangle ⌊ \lfloor
    ⌋ \rfloor ⌈ \lceil ⌉ \rceil … \ldots ⋯ \ldots → \to θ \theta α \alpha β \beta λ \lambda φ \phi ω \omega μ \mu
    σ \sigma γ \gamma δ \delta ε \varepsilon ρ \rho ， , 、 , ； ; ： : （ ( ） ) ［ [ ］ ] ｛ { ｝ } ％ % ＝ = ＋ +
    ＜ < ＞ > ／ / ． . ＄ $ ￥ ¥ － - ½ \frac{1}{2} ⅓ \frac{1}{3} ⅔ \frac{2}{3} ¼ \frac{1}{4} ¾ \frac{3}{4}
    ⅕ \frac{1}{5} ⅛ \frac{1}{8} ⅜ \frac{3}{8} ⅝ \frac{5}{8} ⅞ \frac{7}{8}
"""
_SPELLINGS = _SPELLING_TABLE.split()
_CHARACTERS = str.maketrans(
    {
        old: new + " " if new[0] == "\\" or new[0] == "^" else new
        for old, new in zip(_SPELLINGS[::2], _SPELLINGS[1::2], strict=True)
    }
    | dict.fromkeys("\u00a0\u2009\u202f\u3000\t\r\n", " ")
    | dict.fromkeys("\u200b\ufeff", "")
)
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
# In order. Every pattern is linear: none has a repeat inside a repeat, and braces hold no braces.
_REWRITES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\\(?:dfrac|tfrac|cfrac)(?![A-Za-z])", r"\\frac"),
        (r"\\(?:dbinom|tbinom)(?![A-Za-z])", r"\\binom"),
        (r"\\(?:left|right|[bB]ig{1,2}[lrm]?)(?![A-Za-z])\s*\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|nolimits|mathstrut|rm|bf)(?![A-Za-z])", " "),
        (r"\\(?:boxed|fbox|phantom|mathstrut)(?![A-Za-z])", ""),
        (r"(?<=[0-9])\\,(?=[0-9]{3}(?![0-9]))", ""),
        (r"(?<=[0-9],)\s\\!(?=[0-9]{3}(?![0-9]))", ""),
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)\\[,;: ]|\\(?:quad|qquad|space|thinspace)(?![A-Za-z])|~", " "),
        (r"\{,\}", ","),
        (r"\\(?:leq|leqslant|le)(?![A-Za-z])|=<", "<="),
        (r"\\(?:geq|geqslant|ge)(?![A-Za-z])", ">="),
        (r"\\(?:neq|ne)(?![A-Za-z])", "!="),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:ldots|cdots|dots|dotsc|dotso|dotsb)(?![A-Za-z])|\.\.\.\.?", "…"),
        (r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])|\\(?:degree|textdegree)(?![A-Za-z])", "°"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\(?:lbrack)(?![A-Za-z])", "["),
        (r"\\(?:rbrack)(?![A-Za-z])", "]"),
        (r"\\(?:varnothing|O|oslash)(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset"),
        (r"\\(?:mathbb|mathbf|mathrm|Bbb)\s*\{\s*R\s*\}|\\R(?![A-Za-z])|\\mathbb\s*R(?![A-Za-z])", r"\\reals"),
        (r"\\(?:infin|infinity)(?![A-Za-z])", r"\\infty"),
        (r"\\(?:bigcup)(?![A-Za-z])", r"\\cup"),
        (r"\\(?:smallsetminus|backslash)(?![A-Za-z])", r"\\setminus"),
        (r"\\(?:exponentialE)(?![A-Za-z])", "e"),
        (r"\s+", " "),
    ]
]
_SPACED_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?: [0-9]{3}){1,9}(?:\.[0-9]+)?")
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|textsf|mbox|hbox|mathrm|mathit|mathbf|mathsf|bold)\s*\{([^{}]*)\}"
)
_WORD_PUNCTUATION = ".,;:!?\"'`*_()$"
_MERIDIEM = re.compile(r"\b([ap])\s?\.\s?m\b\.?", re.IGNORECASE)
_CHOICE = re.compile(r"\(?\s*([A-Z]|(?<=\()[a-z](?=\)))\s*[).:]?\s*")
_ARTICLES = ("a", "an", "the")


def normalise(text: str) -> str:
    """``text`` with one spelling for each character, command and space. Dollar signs around mathematics are dropped."""
    if not text.isascii():
        text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+", lambda run: "^{" + run[0].translate(_SUPERSCRIPT) + "}", text)
        text = re.sub("[₀₁₂₃₄₅₆₇₈₉]+", lambda run: "_{" + run[0].translate(_SUBSCRIPT) + "}", text)
        text = "".join(map(_plain_digit, text))
    text = text.translate(_CHARACTERS)
    text = _drop_math_delimiters(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = text.strip()
    return text.replace(" ", "") if _SPACED_THOUSANDS.fullmatch(text) else text


def is_same_text(gold: str, answer: str) -> bool:
    """Two normalised texts are written alike but for spaces, ``\\text``, the case of words and their punctuation."""
    if _squeeze(gold) == _squeeze(answer):
        return True
    gold_choice, answer_choice = _choice(gold), _choice(answer)
    if gold_choice or answer_choice:
        return gold_choice == answer_choice
    words = _words(gold)
    return bool(words) and words == _words(answer)


def unwrap_text(text: str) -> str:
    r"""``text`` with what stands in ``\text{...}`` and the like in their place."""
    return _TEXT_COMMAND.sub(r"\1", text)


def _plain_digit(character: str) -> str:
    if character.isascii() or not character.isdecimal():
        return character
    return str(unicodedata.decimal(character))


def _drop_math_delimiters(text: str) -> str:
    r"""Without ``$``, ``\(``, ``\[``; a single ``$`` and ``\$`` stay, as the sign of money."""
    text = re.sub(r"(?<!\\)\\[()\[\]]", "", text)
    signs = re.findall(r"(?<!\\)\$", text)
    if len(signs) != 1:
        text = re.sub(r"(?<!\\)\$", "", text)
    return text.replace(r"\$", "$")


def _squeeze(text: str) -> str:
    """Without the spaces that separate nothing: one between two letters or digits stays."""
    text = re.sub(r"(?<=[0-9]), (?=[0-9])", ",_", unwrap_text(text).replace("{}", ""))  # "1, 234" is not "1,234"
    return re.sub(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])", "", text)


def _choice(text: str) -> str:
    """The capital letter of a multiple choice, if that is all the text is."""
    found = _CHOICE.fullmatch(unwrap_text(text).replace("{", "").replace("}", "").strip())
    return found[1].upper() if found else ""


def _words(text: str) -> tuple[str, ...]:
    """The words of a text that is nothing but words (and perhaps numbers among them); else none."""
    text = _MERIDIEM.sub(r"\1m", unwrap_text(text)).replace("{", "").replace("}", "")
    if not re.fullmatch(r"[\w\s.,;:!?'\"`*()$-]*", text) or not re.search(r"[^\W\d_]{2}", text):
        return ()
    words = [_bare_word(word) for word in text.casefold().split()]
    return tuple(word for word in (words[1:] if len(words) > 1 and words[0] in _ARTICLES else words) if word)


def _bare_word(word: str) -> str:
    """Without punctuation around it, but for what may be part of a number: ".5" and "5!" are not 5."""
    return word.rstrip(",;:") if any(map(str.isdigit, word)) else word.strip(_WORD_PUNCTUATION)
