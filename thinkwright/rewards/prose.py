"""What of a thought is prose: code, LaTeX, addresses, tags, quotes and names with digits are left out.

Something between code fences, dollars or quotes that reads like plain text is kept if it is long, or if there is more
of it than of the rest: a whole thought could be hidden there. Every pattern takes linear time.
"""

import re

# A math environment holds no other, so only the next delimiter can close one: the search stays linear.
_MATH_DELIMITER = re.compile(r"\$\$|(?<!\\)\$|\\[()\[\]]|\\(?:begin|end)\{[a-zA-Z]{1,20}\*?\}")
_CLOSED_BY = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
_INLINE_CODE = re.compile(r"`[^`\n]{1,200}`")
_ADDRESS = re.compile(r"https?://[!-~]+|www\.[!-~]+|(?<![\w.+-])[\w.+-]++@[\w.-]+")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_QUOTE = re.compile(
    r'"[^"\n]{1,200}"|\u201e[^\u201c\u201d\n]{1,200}[\u201c\u201d]|\u201c[^\u201c\u201d\n]{1,200}\u201d'
    r"|\u00ab[^\u00ab\u00bb\n]{1,200}\u00bb|[\u300c\u300e\u300a][^\u300c-\u300f\u300a\u300b\n]{1,200}[\u300d\u300f\u300b]"
)
_TAG = re.compile(r"</?[A-Za-z]+>")
_ASCII_NAME = re.compile(r"[A-Za-z0-9_]+\(?")
# The letter a is a variable unless a Latin word follows.
_LONE_A = re.compile(r"(?<![A-Za-z'\u00c0-\u024f])a(?![A-Za-z'\u00c0-\u024f]|\s[A-Za-z\u00c0-\u024f])")
_SYMBOL = re.compile(r"[0-9(){}\[\]<>=+*/\\|&%$#@^_~:;]")
_LETTER = re.compile(r"[^\W\d_]")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")  # kana and Han: one says as much as four letters
_DENSITY = 4
_PROSE_LENGTH = 40
_PROSE_SYMBOL_SHARE = 0.05


def prose_of(text: str) -> str:
    """``text`` with a space for each part that is in no language."""
    hidden: list[str] = []  # the short parts that read like plain text
    parts = text.split("```")
    parts[1::2] = [_unless_prose(part, hidden) for part in parts[1::2]]
    text = _INLINE_CODE.sub(lambda match: _unless_prose(match.group(), hidden), " ".join(parts))
    text = _without_names(_without_quotes(_without_math(_ADDRESS.sub(" ", text), hidden)))
    short = _without_names(" \n".join(hidden))
    return f"{text} \n{short}" if _num_letters(short) > _num_letters(text) else text


def _without_names(text: str) -> str:
    """Without commands, tags, and names of variables and functions."""
    text = _LONE_A.sub(" ", _TAG.sub(" ", _COMMAND.sub(" ", text)))
    return _ASCII_NAME.sub(lambda match: " " if _is_identifier(match.group()) else match.group(), text)


def _without_math(text: str, hidden: list[str]) -> str:
    delimiters = list(_MATH_DELIMITER.finditer(text))
    kept: list[str] = []
    position, i = 0, 0
    while i + 1 < len(delimiters):
        start, end = delimiters[i], delimiters[i + 1]
        if not _closes(start.group(), end.group()):
            i += 1
            continue
        kept += [text[position : start.start()], _unless_prose(text[start.end() : end.start()], hidden)]
        position, i = end.end(), i + 2
    return " ".join([*kept, text[position:]])


def _closes(start: str, end: str) -> bool:
    if start.startswith(r"\begin"):
        return end == start.replace(r"\begin", r"\end")
    return _CLOSED_BY.get(start) == end


def _without_quotes(text: str) -> str:
    """Without quotes, unless they are the better part of the text."""
    left = _QUOTE.sub(" ", text)
    return left if len(left) * 2 >= len(text) else text


def _unless_prose(text: str, hidden: list[str]) -> str:
    """A space, or ``text`` if it is long and reads like plain text; a short one that does is noted in ``hidden``."""
    solid = "".join(text.split())
    if len(_SYMBOL.findall(solid)) > _PROSE_SYMBOL_SHARE * len(solid):
        return " "
    if len(solid) + (_DENSITY - 1) * len(_DENSE.findall(solid)) >= _PROSE_LENGTH:
        return f" {text} "
    hidden.append(text)
    return " "


def _num_letters(text: str) -> int:
    return len(_LETTER.findall(text)) + (_DENSITY - 1) * len(_DENSE.findall(text))


def _is_identifier(name: str) -> bool:
    """A name with a digit or an underscore in it, or one that is called."""
    return name.endswith("(") or not name.isalpha()
