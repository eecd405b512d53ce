"""The final answer in a model's text: the last box, else what follows "answer is", else the whole of a short text.

Every function takes any text, never raises, and runs in time linear in its length.
"""

import re

EXTRACTION_VERSION = 1
"""Raised whenever another answer is found in the same text; stands beside every figure of `thinkwright eval`."""
MAX_TEXT_CHARACTERS = 400_000
"""Only the end of a longer text is looked at."""
MAX_ANSWER_CHARACTERS = 2_000
"""A longer "answer" is none: no gold is that long."""

# A box, with as many backslashes as an escaping mistake made of it; any other escaped character; braces.
_BRACES = re.compile(
    r"\\{1,4}(?P<box>boxed|fbox)(?![A-Za-z])\s*(?:\{|(?P<bare>-?[0-9][0-9.,/]*|\\?[A-Za-z]+))|\\.|\{+|\}+", re.DOTALL
)
_BOX_COMMAND = re.compile(r"\\{1,4}(?:boxed|fbox)(?![A-Za-z])")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|texttt|mathrm|mathbf)\{([^{}]*)\}")
_FILLED = re.compile(r"\S")
# Bounded repeats keep the search linear; the last match counts.
_ANCHOR = re.compile(
    r"""\banswers?\b (?: [^\n.:=]{0,60}? \b(?:is|are)\b \s*:? | [*_\s]{0,4} [:=] )
    | (?:答案|答) (?:应该|應該)? \s* (?:[是为為:：=]{1,2})
    | ^\#{4}\s*(?=[-$0-9])""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.?](?=\s|$)|。")  # not "!", which is a factorial
_DISPLAYS = (("$$", "$$"), ("\\[", "\\]"))
_WRAPPINGS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("`", "`"))
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("「", "」"))
_TRAILING = ".,;:。，；：、 \t\r\n"


def extract_answer(text: str) -> str:
    """The answer without what merely surrounds it (dollar signs, asterisks, a full stop); "" if there is none.

    Of several boxes the last whole one counts: boxing every candidate gains nothing.
    """
    text = text[-MAX_TEXT_CHARACTERS:]
    found = find_last_box(text)
    if found is None:
        found = find_anchored(text)
    if found is None:
        found = text
    return strip_wrapping(_BOX_COMMAND.sub("", found)) if len(found.strip()) <= MAX_ANSWER_CHARACTERS else ""


def find_last_box(text: str) -> str | None:
    r"""What stands in the last ``\boxed{...}`` or ``\fbox{...}`` whose braces match; of nested boxes, in the outer one.

    Without braces ("\boxed 5") a box holds the number or word after it, but counts only where no box with braces holds
    anything; an empty one ("put it in \boxed{}") only where there is nothing else.
    """
    opened: list[tuple[int, int]] = []  # of each open box: where its content starts, and the other braces open there
    num_open = 0
    last: tuple[int, int] | None = None
    makeshift: tuple[int, int] | None = None  # without braces, or empty
    for match in _BRACES.finditer(text):
        if match["bare"] is not None:
            makeshift = match.span("bare")
        elif match["box"]:
            opened.append((match.end(), num_open))
            num_open = 0
        elif match[0][0] == "{":
            num_open += len(match[0])
        elif match[0][0] == "}":
            position = match.start()
            while position < match.end() and (num_open or opened):
                if num_open:
                    num_closed = min(num_open, match.end() - position)
                    num_open, position = num_open - num_closed, position + num_closed
                else:
                    start, num_open = opened.pop()
                    if _FILLED.search(text, start, position):
                        last = (start, position)
                    else:
                        makeshift = makeshift or (start, position)
                    position += 1
    found = last or makeshift
    return text[slice(*found)] if found else None


def open_box(text: str) -> str:
    r"""What the last box holds, without ``\text`` and the backslashes of braces; ``text`` itself if it has no box."""
    content = find_last_box(text)
    if content is None:
        return text
    return _TEXT_COMMAND.sub(r"\1", content).strip().replace("\\{", "{").replace("\\}", "}")


def find_anchored(text: str) -> str | None:
    """What follows the last "answer is", "answer:", "####" or its Chinese like, to the end of the sentence."""
    end_of_anchor = max((match.end() for match in _ANCHOR.finditer(text)), default=None)
    if end_of_anchor is None:
        return None
    rest = text[end_of_anchor : end_of_anchor + 2 * MAX_ANSWER_CHARACTERS].lstrip(" \t\r\n*:：=_")
    for opening, closing in _DISPLAYS:
        if rest.startswith(opening):
            end = rest.find(closing, len(opening))
            return rest[len(opening) : end] if end >= 0 else ""
    line = rest.split("\n", 1)[0]
    end_of_sentence = _SENTENCE_END.search(line)
    return (line[: end_of_sentence.start()] if end_of_sentence else line).rstrip("* ")


def strip_wrapping(text: str) -> str:
    """``text`` without the delimiters of mathematics, emphasis, quotes and punctuation around the whole of it."""
    text = text.strip()
    for _ in range(8):  # layers; more than a few are not an answer
        before = text
        if not text.endswith(("..", "\\,", "\\;", "\\:")):
            text = text.rstrip(_TRAILING)
        for opening, closing in (*_WRAPPINGS, *_QUOTES):
            inner = text[len(opening) : len(text) - len(closing)]
            # "$1$ and $2$" is not one pair around the whole.
            if text.startswith(opening) and text.endswith(closing) and inner.strip() and opening not in inner:
                text = inner.strip()
        if text == before:
            break
    return text
