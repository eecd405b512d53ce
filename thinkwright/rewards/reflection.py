"""Words that show a model stopping to look at its own work."""

import re

# DeepSeek-R1 (arXiv:2501.12948), section C.2: their count grows 5-7x as R1-Zero is trained.
ENGLISH_WORDS = ("wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check")
CHINESE_WORDS = ("等等", "错", "但", "不对", "检查", "验证", "重试", "然而")

_ENGLISH = re.compile(rf"(?<![a-z])(?:{'|'.join(ENGLISH_WORDS)})(?![a-z])")
# A negated one is no reflection: "not wrong" (said of a result that is right), "not only".
_CHINESE = re.compile(rf"(?<![没不])(?:{'|'.join(sorted(CHINESE_WORDS, key=len, reverse=True))})")


def count_reflection_words(text: str) -> int:
    """How many reflective words ``text`` has, English (whole words, any case) and Chinese together."""
    return len(_ENGLISH.findall(text.lower())) + len(_CHINESE.findall(text))


def is_checking(text: str) -> bool:
    """Whether the text looks over its own work."""
    return re.search(r"(?<![a-z])(?:check|verify|wait)(?![a-z])|检查|验证|等等", text.lower()) is not None


def is_correcting(text: str) -> bool:
    """Whether the text takes back what it said."""
    return re.search(r"(?<![a-z])(?:wrong|mistake)(?![a-z])|不对|(?<![没不])错", text.lower()) is not None
