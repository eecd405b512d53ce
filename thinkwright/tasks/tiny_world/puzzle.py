"""What a question of the tiny world is: a text, a gold answer, the careful way to it, and plausible wrong guesses."""

from dataclasses import dataclass
from random import Random

LANGUAGES = ("en", "zh")
NAMES = {
    "en": ("Amy", "Ben", "Eva", "Tom", "Mia", "Leo", "Zoe", "Sam"),
    "zh": ("赵", "钱", "孙", "李", "周", "吴", "郑", "王"),
}


@dataclass(frozen=True)
class Puzzle:
    """One question with everything the corpus, the reward and the evaluation need of it."""

    family: str
    level: int
    """1 is the easiest; how far it goes depends on the family."""
    language: str
    """Language of the question: ``en`` or ``zh``."""
    question: str
    answer: str
    """The right answer as one would write it."""
    verifier: str
    """Name of the rule in ``rewards/verifiers.py`` that judges an answer."""
    gold: str
    """What the verifier compares with (the answer itself, a target, or hidden tests as JSON)."""
    steps: dict[str, tuple[str, ...]]
    """The careful way to the answer, one step a line, in each language."""
    wrong: tuple[str, ...]
    """Answers a careless writer might give."""


def near_misses(value: int, rng: Random) -> tuple[str, ...]:
    """Wrong integers close to ``value``, none negative, nearest not always first."""
    offsets = [-3, -2, -1, 1, 2, 3, 10]
    rng.shuffle(offsets)
    return tuple(str(value + offset) for offset in offsets if value + offset >= 0)


def both(text_by_language: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Steps that read the same in every language (equations)."""
    return dict.fromkeys(LANGUAGES, text_by_language)
