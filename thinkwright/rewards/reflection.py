"""Words and turns of phrase that show a model stopping to look at its own work: signs of thought, not proofs of it.

Plain searches for literals, so that a step's completions, however long, are read in a small part of its time.
"""

import re
from collections.abc import Iterator
from string import ascii_lowercase

# DeepSeek-R1 (arXiv:2501.12948), section C.2: their count grows 5-7x as R1-Zero is trained. Beside each its Chinese.
REFLECTION_WORDS: dict[str, tuple[str, ...]] = {
    "wait": ("等等", "等一下"),
    "mistake": ("失误",),
    "however": ("然而",),
    "but": ("但",),
    "retry": ("重试",),
    "error": ("错误",),
    "verify": ("验证",),
    "wrong": ("错", "不对"),
    "evaluate": ("评估",),
    "check": ("检查",),
}
ENGLISH_WORDS = tuple(REFLECTION_WORDS)

_CHECKING = (
    "check", "checks", "checked", "checking", "recheck", "rechecking", "verify", "verifies", "verified", "verifying",
    "reevaluate", "re-evaluate", "reexamine", "re-examine", "reconsider", "recalculate", "recompute",
    "look again", "looking again", "look at it again", "look at this again", "look at that again",
    "looking at it again", "go over it", "go over this", "go over that", "go back over",
    "检查", "验证", "检验", "核对", "回头看", "再算", "再看", "再想", "重新审视", "重新考虑", "重新计算", "重算",
)  # fmt: skip
_NO_CHECKING = ("no need to ", "n't ", "not ", "without ", "不用", "不必", "无需", "没有")
_ADMISSIONS = (
    "wrong", "incorrect", "mistaken", "mistake", "mistakes", "error", "errors", "oops",
    "not right", "not correct", "isn't right", "isn't correct", "错", "不对", "不正确", "有误", "失误",
)  # fmt: skip
_NO_ADMISSION = ("not ", "n't ", "no ", "nothing ", "没", "不")
_RESULT = re.compile(
    r"[0-9=]|\b(?:is|are|so|thus|hence|therefore|instead|should|must|yes|true|false)\b|是|所以|因此|应该|应为|那么|改|对",
    re.ASCII,
)
_THOUGHT_END = "</think>"
_LETTERS = frozenset(ascii_lowercase)


def reflection_counts(text: str) -> dict[str, int]:
    """How often each of the ten words stands in ``text``, as itself (whole, any case) or in Chinese.

    A negated Chinese one ("not wrong", said of a result that is right; "not only") does not count.
    """
    lowered = text.lower()
    counts = {
        word: sum(1 for _ in _ends(lowered, word))
        + sum(1 for chinese in words for _ in _ends(lowered, chinese, ("没", "不")))
        for word, words in REFLECTION_WORDS.items()
    }
    # The Chinese error begins with the character for wrong, and is only one of the two.
    counts["wrong"] -= sum(1 for _ in _ends(lowered, "错误", ("没", "不")))
    return counts


def count_reflection_words(text: str) -> int:
    """How many reflective words ``text`` has, English and Chinese together."""
    return sum(reflection_counts(text).values())


def checks_itself(text: str) -> bool:
    """Whether ``text`` says that it looks again: it checks, verifies, reconsiders, goes over something once more."""
    lowered = text.lower()
    return any(True for phrase in _CHECKING for _ in _ends(lowered, phrase, _NO_CHECKING))


def corrects_itself(text: str) -> bool:
    """Whether ``text`` says that something was wrong and, still in its thought, goes on to another result.

    A result is told by a number, an equals sign, or a word such as "is" or "so" after the admission. A trial that is
    given up for the next one counts: the way back is what is meant.
    """
    lowered = text.lower()
    firsts = [next(_ends(lowered, phrase, _NO_ADMISSION), None) for phrase in _ADMISSIONS]
    found = [end for end in firsts if end is not None]
    if not found:
        return False
    begin = min(found)
    end = lowered.find(_THOUGHT_END, begin)
    return _RESULT.search(lowered, begin, len(lowered) if end < 0 else end) is not None


def _ends(text: str, phrase: str, denials: tuple[str, ...] = ()) -> Iterator[int]:
    """Where ``phrase`` ends in the lower-case ``text``, if nothing before it denies it; English as whole words."""
    is_english, start = phrase.isascii(), text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        is_part = is_english and (text[start - 1 : start] in _LETTERS or text[end : end + 1] in _LETTERS)
        if not is_part and not text.endswith(denials, 0, start):
            yield end
        start = text.find(phrase, end)
