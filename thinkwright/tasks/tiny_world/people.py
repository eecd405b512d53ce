"""Puzzles about people: who stands where in an order, and who lies."""

from itertools import pairwise
from random import Random

from thinkwright.tasks.tiny_world.puzzle import NAMES, Puzzle

ORDERING_LEVELS = (1, 2, 3)
TRUTH_LEVELS = (1, 2, 3)
_BEATS = {"en": "{} beats {}", "zh": "{}胜{}"}
_PLACES = {
    "en": ("first", "second", "third", "fourth", "fifth"),
    "zh": ("第一", "第二", "第三", "第四", "第五"),
}
_NOBODY = {"en": "nobody", "zh": "无人"}


def make_ordering(rng: Random, level: int, language: str) -> Puzzle:
    """Level n: n + 2 people, the clues shuffled, one place asked for."""
    order = rng.sample(NAMES[language], level + 2)
    clues = list(pairwise(order))
    place = rng.randrange(1, len(order))
    told = [_BEATS[language].format(*clue) for clue in rng.sample(clues, len(clues))]
    if language == "en":
        question = f"{', '.join(told)}. Who is {_PLACES['en'][place]}?"
    else:
        question = f"{'，'.join(told)}。谁{_PLACES['zh'][place]}？"
    steps = {
        lang: tuple(
            [f"{order[0]} {_PLACES[lang][0]}"]
            + [f"{_BEATS[lang].format(*clues[i])}: {order[i + 1]} {_PLACES[lang][i + 1]}" for i in range(place)]
        )
        for lang in ("en", "zh")
    }
    return Puzzle(
        family="ordering",
        level=level,
        language=language,
        question=question,
        answer=order[place],
        verifier="words",
        gold=order[place],
        steps=steps,
        wrong=tuple(name for name in rng.sample(order, len(order)) if name != order[place]),
    )


def make_truth_tellers(rng: Random, level: int, language: str) -> Puzzle:
    """A chain of claims closed by one claim that exactly one assumption about the first speaker can bear.

    Each speaker calls the next honest or a liar; the last says whether the first two are alike. Whether they are
    follows from the first claim alone, so just one of the two assumptions is consistent. Level n: n + 1 speakers.
    """
    people = rng.sample(NAMES[language], level + 1)
    calls_honest = [rng.random() < 0.5 for _ in people[:-1]]
    says_alike = rng.random() < 0.5
    told = [_claim(a, b, honest, language) for (a, b), honest in zip(pairwise(people), calls_honest, strict=True)]
    told.append(_last_claim(people, says_alike, language))
    closing = says_alike == calls_honest[0]
    is_honest, steps = _solve(people, calls_honest, closing)
    liars = [person for person, honest in zip(people, is_honest, strict=True) if not honest]
    answer = " ".join(liars) or _NOBODY[language]
    question = f"{'. '.join(told)}. Who lies?" if language == "en" else f"{'，'.join(told)}。谁说谎？"
    wrong = [" ".join(rng.sample(people, rng.randint(1, len(people)))) for _ in range(8)]
    return Puzzle(
        family="truth_tellers",
        level=level,
        language=language,
        question=question,
        answer=answer,
        verifier="word_set",
        gold=answer,
        steps=steps,
        wrong=tuple(guess for guess in wrong if set(guess.split()) != set(liars)) or (people[0],),
    )


def _claim(speaker: str, other: str, calls_honest: bool, language: str) -> str:
    if language == "en":
        return f"{speaker} says {other} {'is honest' if calls_honest else 'lies'}"
    return f"{speaker}说{other}{'诚实' if calls_honest else '说谎'}"


def _last_claim(people: list[str], says_alike: bool, language: str) -> str:
    if language == "en":
        return f"{people[-1]} says {people[0]} and {people[1]} {'agree' if says_alike else 'differ'}"
    return f"{people[-1]}说{people[0]}{people[1]}{'相同' if says_alike else '不同'}"


def _solve(people: list[str], calls_honest: list[bool], closing: bool) -> tuple[list[bool], dict[str, tuple[str, ...]]]:
    """Suppose the first speaker honest, follow the claims, check the last; if that fails suppose the opposite."""
    steps: dict[str, list[str]] = {"en": [], "zh": []}
    for assumption in (True, False):
        is_honest = [assumption]
        for calls in calls_honest:
            is_honest.append(is_honest[-1] == calls)
        fits = is_honest[-1] == closing
        for i, (person, honest) in enumerate(zip(people, is_honest, strict=True)):
            steps["en"].append(f"{'so' if i else 'suppose'} {person} {'is honest' if honest else 'lies'}")
            steps["zh"].append(f"{'则' if i else '设'}{person}{'诚实' if honest else '说谎'}")
        steps["en"].append(
            f"check {people[-1]}: claim is {'true' if closing else 'false'},{' yes' if fits else ' wrong'}"
        )
        steps["zh"].append(f"检查{people[-1]}: 话是{'真' if closing else '假'},{'对' if fits else '不对'}")
        if fits:
            return is_honest, {lang: tuple(lines) for lang, lines in steps.items()}
    raise AssertionError("one of the two assumptions always fits")
