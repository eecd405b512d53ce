"""Search: reach a target from given numbers. Nothing but trying, checking and trying again finds it."""

import json
from collections.abc import Iterator
from random import Random

from thinkwright.tasks.tiny_world.puzzle import Puzzle

LEVELS = (1, 2, 3)
_VERDICTS = {"en": ("try", " wrong", " yes"), "zh": ("试", "不对", "对")}
_OPERATORS = {1: "+ - *", 2: "+ -", 3: "* + -"}

# A trial: the expression, its calculation written out, its value.
Trial = tuple[str, str, int]


def make(rng: Random, level: int, language: str) -> Puzzle:
    """Level 1: two numbers. Level 2: three with + and -. Level 3: three with one product."""
    numbers = [rng.randint(1, 9) for _ in range(2 if level == 1 else 3)]
    trials = list(_trials(numbers, level))
    target = rng.choice([value for _, _, value in trials if value > 0])
    found = next(i for i, trial in enumerate(trials) if trial[2] == target)
    listed = ", ".join(map(str, numbers))
    if language == "en":
        question = f"Use {listed} with {_OPERATORS[level]} to make {target}."
    else:
        question = f"用{listed}和{_OPERATORS[level]}得{target}。"
    steps = {lang: tuple(_line(trial, target, lang) for trial in trials[: found + 1]) for lang in _VERDICTS}
    return Puzzle(
        family="countdown",
        level=level,
        language=language,
        question=question,
        answer=trials[found][0],
        verifier="countdown",
        gold=json.dumps({"numbers": numbers, "target": target}),
        steps=steps,
        wrong=tuple(trial[0] for trial in rng.sample(trials, len(trials)) if trial[2] != target) or (listed,),
    )


def _line(trial: Trial, target: int, language: str) -> str:
    attempt, wrong, right = _VERDICTS[language]
    expression, calculation, value = trial
    return f"{attempt} {expression}: {calculation}{right if value == target else wrong}"


def _trials(numbers: list[int], level: int) -> Iterator[Trial]:
    """All expressions of the level, always in the same order, so that a writer need not remember what was tried."""
    if level == 1:
        a, b = numbers
        for expression, value in ((f"{a}+{b}", a + b), (f"{a}-{b}", a - b), (f"{b}-{a}", b - a), (f"{a}*{b}", a * b)):
            yield expression, f"={value}", value
        return
    a, b, c = numbers
    if level == 2:
        yield from (_sum(a, b, c, s, t) for s in "+-" for t in "+-")
        yield _sum(b, c, a, "+", "-")
        yield _sum(b, c, a, "-", "-")
        yield _sum(c, a, b, "-", "-")
        return
    for first, second, other in ((a, b, c), (a, c, b), (b, c, a)):
        product = first * second
        for expression, calculation, value in (
            (f"{first}*{second}+{other}", f"{product}+{other}", product + other),
            (f"{first}*{second}-{other}", f"{product}-{other}", product - other),
        ):
            yield expression, f"{calculation}={value}", value


def _sum(a: int, b: int, c: int, first: str, second: str) -> Trial:
    partial = a + b if first == "+" else a - b
    value = partial + c if second == "+" else partial - c
    return f"{a}{first}{b}{second}{c}", f"{partial}{second}{c}={value}", value
