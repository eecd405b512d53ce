"""Word problems: things gained and lost, prices, and work done together."""

from random import Random

from thinkwright.tasks.tiny_world.puzzle import NAMES, Puzzle, both, near_misses

LEVELS = (1, 2, 3, 4)
_THINGS = {"en": ("pens", "books", "eggs", "nuts", "cups", "keys"), "zh": ("笔", "书", "蛋", "果", "杯", "瓶")}
_GAINS = {"en": ("gets {}", "finds {}", "buys {}"), "zh": ("得{}", "捡{}", "买{}")}
_LOSSES = {"en": ("gives {}", "loses {}", "sells {}"), "zh": ("送{}", "丢{}", "卖{}")}
# Hours of two workers whose time together is a whole number: a * b / (a + b).
_WORKERS = ((2, 2), (3, 6), (6, 3), (4, 4), (6, 6), (4, 12), (12, 4), (8, 8), (6, 12), (12, 6), (10, 10), (5, 20))


def make(rng: Random, level: int, language: str) -> Puzzle:
    """Level 1: two events or a price. Levels 2 to 4: three to seven events, two prices, or work together."""
    kind = rng.random()
    if level >= 2 and kind < 0.25:
        question, steps, answer = _work_together(rng, language)
    elif level <= 3 and kind < 0.55:
        question, steps, answer = _shopping(rng, language, num_goods=1 if level == 1 else 2)
    else:
        question, steps, answer = _gains_and_losses(rng, language, rng.randint(2 * level - 1, 2 * level))
    return Puzzle(
        family="word_problems",
        level=level,
        language=language,
        question=question,
        answer=str(answer),
        verifier="number",
        gold=str(answer),
        steps=both(tuple(steps)),
        wrong=near_misses(answer, rng),
    )


def _gains_and_losses(rng: Random, language: str, num_events: int) -> tuple[str, list[str], int]:
    thing, name = rng.choice(_THINGS[language]), rng.choice(NAMES[language])
    total = rng.randint(2, 20)
    events, steps, start = [], [], total
    for _ in range(num_events):
        count = rng.randint(1, 9)
        loses = total >= count and rng.random() < 0.5
        result = total - count if loses else total + count
        events.append(rng.choice((_LOSSES if loses else _GAINS)[language]).format(count))
        steps.append(f"{total}{'-' if loses else '+'}{count}={result}")
        total = result
    if language == "en":
        return f"{name} has {start} {thing}, {', '.join(events)}. How many {thing} now?", steps, total
    return f"{name}有{start}{thing}，{'，'.join(events)}，剩几{thing}？", steps, total


def _shopping(rng: Random, language: str, num_goods: int) -> tuple[str, list[str], int]:
    name, things = rng.choice(NAMES[language]), rng.sample(_THINGS[language], num_goods)
    total, steps, parts = 0, [], []
    for thing in things:
        count, price = rng.randint(2, 6), rng.randint(2, 6)
        steps.append(f"{count}*{price}={count * price}")
        parts.append(f"{count} {thing} at {price}" if language == "en" else f"{count}{thing}各{price}元")
        if total:
            steps.append(f"{total}+{count * price}={total + count * price}")
        total += count * price
    if language == "en":
        return f"{name} buys {' and '.join(parts)}: total?", steps, total
    return f"{name}买{'，'.join(parts)}，共几元？", steps, total


def _work_together(rng: Random, language: str) -> tuple[str, list[str], int]:
    first, second = rng.choice(_WORKERS)
    jobs = rng.randint(2, 9)
    together = first * second // (first + second)
    steps = [
        f"{first}*{second}={first * second}",
        f"{first}+{second}={first + second}",
        f"{first * second}/{first + second}={together}",
        f"{together}*{jobs}={together * jobs}",
    ]
    if language == "en":
        question = f"One needs {first} hours, another {second}: time for {jobs} together?"
    else:
        question = f"甲{first}时，乙{second}时，合做{jobs}份？"
    return question, steps, together * jobs
