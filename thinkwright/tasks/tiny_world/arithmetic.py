"""Expressions and chained sums: one-digit operands, a running total between 0 and 99."""

from random import Random

from thinkwright.tasks.tiny_world.puzzle import Puzzle, both, near_misses

LEVELS = (1, 2, 3, 4)
_OPERATIONS = {1: (1, 1), 2: (2, 3), 3: (4, 5), 4: (6, 7)}
_QUESTIONS = {
    "en": ("What is {}?", "Compute {}.", "{} is how much?"),
    "zh": ("{}等于几？", "计算{}。", "求{}的值。"),
}


def make(rng: Random, level: int, language: str) -> Puzzle:
    """A chain of additions and subtractions, now and then a product of a small total."""
    total = rng.randint(1, 9)
    expression, steps, is_sum = str(total), [], False
    for _ in range(rng.randint(*_OPERATIONS[level])):
        operation, operand, result = _next_operation(rng, total)
        if operation == "*" and is_sum:
            expression = f"({expression})"
        expression = f"{expression}{operation}{operand}"
        is_sum = operation != "*"
        steps.append(f"{total}{operation}{operand}={result}")
        total = result
    return Puzzle(
        family="arithmetic",
        level=level,
        language=language,
        question=rng.choice(_QUESTIONS[language]).format(expression),
        answer=str(total),
        verifier="number",
        gold=str(total),
        steps=both(tuple(steps)),
        wrong=near_misses(total, rng),
    )


def _next_operation(rng: Random, total: int) -> tuple[str, int, int]:
    operand = rng.randint(1, 9)
    if total <= 9 and rng.random() < 0.25:
        return "*", operand, total * operand
    if total + operand > 99 or (total >= operand and rng.random() < 0.5):
        return "-", operand, total - operand
    return "+", operand, total + operand
