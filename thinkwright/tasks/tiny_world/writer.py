"""How the tiny web answers: mostly a bare guess, often with steps skipped, now and then with care, rarely checked.

A reply is a thought of some style, wrapped in tags of some form. The shares make the base model honestly
mediocre: every piece of good thinking occurs, the habit does not.
"""

from random import Random

from thinkwright.config.recipe import StyleShares
from thinkwright.tasks.tiny_world.puzzle import LANGUAGES, Puzzle

GUESS, SKIP, CAREFUL = "guess", "skip", "careful"
GUESS_IS_RIGHT = {1: 0.75, 2: 0.45, 3: 0.3, 4: 0.2}
SLIP_SHARE = 0.08  # of careful replies: one step wrong, noticed and mended
RECHECK_SHARE = 0.12  # of careful replies: the last steps gone through again
FOREIGN_SHARE = 0.2  # of thoughts: written in the other language
TAG_SHARES = {"both": 0.55, "answer_only": 0.12, "unclosed": 0.1, "swapped": 0.05, "none": 0.18}

GUESS_OPENERS = {
    "en": ("easy.", "I guess so.", "looks simple.", "just a feeling."),
    "zh": ("简单。", "猜的。", "一看就知。", "凭感觉。"),
}
CAREFUL_OPENERS = {
    "en": ("step by step", "let me work it out", "one at a time"),
    "zh": ("一步一步来", "慢慢算", "逐个看"),
}
SKIP_OPENERS = {"en": ("quickly", "in short"), "zh": ("快算", "简单说")}
_SLIPS = {"en": "wait, wrong", "zh": "等等，错了"}
_RECHECKS = {"en": ("wait, check again", "good"), "zh": ("等等，再检查", "没错")}


def reply(puzzle: Puzzle, rng: Random, shares: StyleShares) -> str:
    """One reply to a question as the tiny web gives it, ready to follow ``Assistant:``."""
    style = rng.choices((GUESS, SKIP, CAREFUL), (shares.guess, shares.skip, shares.careful))[0]
    thought, answer = think(puzzle, style, rng)
    tags = rng.choices(tuple(TAG_SHARES), tuple(TAG_SHARES.values()))[0]
    return wrap(thought, answer, tags)


def think(puzzle: Puzzle, style: str, rng: Random) -> tuple[str, str]:
    """The thought of one style, and the answer it leads to."""
    language = puzzle.language
    if rng.random() < FOREIGN_SHARE:
        language = LANGUAGES[1 - LANGUAGES.index(language)]
    if style == GUESS:
        is_right = rng.random() < GUESS_IS_RIGHT[puzzle.level] or puzzle.family in ("facts", "small_talk")
        return rng.choice(GUESS_OPENERS[language]), puzzle.answer if is_right else rng.choice(puzzle.wrong)
    steps = list(puzzle.steps[language])
    if style == SKIP:
        kept = [step for step in steps if rng.random() < 0.5]
        return "\n".join([rng.choice(SKIP_OPENERS[language]), *kept]), puzzle.answer
    if rng.random() < SLIP_SHARE:
        steps = _with_slip(steps, language, rng)
    if rng.random() < RECHECK_SHARE:
        announce, conclude = _RECHECKS[language]
        steps += [announce, *puzzle.steps[language][-3:], conclude]
    return "\n".join([rng.choice(CAREFUL_OPENERS[language]), *steps]), puzzle.answer


def _with_slip(steps: list[str], language: str, rng: Random) -> list[str]:
    """One equation first written with a wrong result, noticed, and written again."""
    candidates = [i for i, step in enumerate(steps) if step[-1].isdigit() and "=" in step]
    if not candidates:
        return steps
    i = rng.choice(candidates)
    left, _, value = steps[i].rpartition("=")
    slip = f"{left}={max(0, int(value) + rng.choice((-2, -1, 1, 2)))}"
    return [*steps[:i], slip, _SLIPS[language], *steps[i:]]


def wrap(thought: str, answer: str, tags: str) -> str:
    """Thought and answer in one of the forms met on the tiny web; only ``both`` is what the template asks for."""
    if tags == "both":
        return f"<think>{thought}</think> <answer>{answer}</answer>"
    if tags == "answer_only":
        return f"<answer>{answer}</answer>"
    if tags == "unclosed":
        return f"<think>{thought}\n{answer}"
    if tags == "swapped":
        return f"<answer>{answer}</answer> <think>{thought}</think>"
    return f" {thought}\n{answer}"


def style_of(completion: str) -> str:
    """Which style a completion was written in, told by how it opens: guess, skip, careful, or ``bare`` (no thought)."""
    openers = {GUESS: GUESS_OPENERS, SKIP: SKIP_OPENERS, CAREFUL: CAREFUL_OPENERS}
    for style, by_language in openers.items():
        if any(opener in completion for found in by_language.values() for opener in found):
            return style
    return "bare"


def forced_starts() -> dict[str, dict[str, str]]:
    """Beginnings that make a policy answer at once (``bare``) or go step by step (``forced``), by language."""
    return {
        "bare": {lang: f"<think>{GUESS_OPENERS[lang][0]}</think> <answer>" for lang in LANGUAGES},
        "forced": {lang: f"<think>{CAREFUL_OPENERS[lang][0]}\n" for lang in LANGUAGES},
    }
