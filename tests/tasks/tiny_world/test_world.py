import itertools
import re
from collections.abc import Iterable
from random import Random

import pytest

from thinkwright.config.recipe import StyleShares
from thinkwright.config.tasks import TinyWorldTask
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.tiny_world import world
from thinkwright.tasks.tiny_world.corpus import documents
from thinkwright.tasks.tiny_world.puzzle import LANGUAGES, Puzzle
from thinkwright.tasks.tiny_world.world import FAMILIES, HELD_OUT_PER_FAMILY, held_out_puzzles

NUM_DOCUMENTS = 20_000
EQUATION = re.compile(r"(?<![\d+*/()=-])([-\d+*/()]+)=(-?\d+)")


def plain_units(text: str) -> list[str]:
    """Numbers, words, Chinese characters and operators, told apart one character at a time."""
    found: list[str] = []
    previous = ""
    for character in text.lower():
        if "一" <= character <= "鿿":
            kind = "han"
        elif character.isdigit():
            kind = "digit"
        elif character.isalpha():
            kind = "letter"
        else:
            kind = "operator" if character in "-+*/=<>" else ""
        if kind and kind == previous and kind in ("digit", "letter"):
            found[-1] += character
        elif kind:
            found.append(character)
        previous = kind
    return found


def plain_ten_grams(texts: Iterable[str]) -> set[str]:
    """Every run of ten units of the texts, and each shorter text as it is."""
    grams: set[str] = set()
    for text in texts:
        found = plain_units(text)
        grams |= {" ".join(found[i : i + 10]) for i in range(len(found) - 9)} if len(found) >= 10 else {" ".join(found)}
    return grams


def puzzles_of(family: str, per_kind: int = 30) -> list[Puzzle]:
    """Puzzles of every level in both languages."""
    rng = Random(f"test/{family}")
    made = FAMILIES[family]
    return [made.make(rng, level, language) for level in made.levels for language in LANGUAGES for _ in range(per_kind)]


@pytest.fixture(scope="module")
def held_out_questions() -> list[str]:
    return [puzzle.question for puzzle in held_out_puzzles()]


def test_no_held_out_question_occurs_in_the_corpus(held_out_questions: list[str]) -> None:
    exchanges = list(itertools.islice(documents(1, StyleShares()), NUM_DOCUMENTS))
    questions = {found.turn.removeprefix(" User: ").removesuffix(" Assistant:") for found in exchanges}
    assert len(questions) > NUM_DOCUMENTS // 4
    assert not questions & set(held_out_questions)
    held_out = plain_ten_grams(held_out_questions)
    assert not plain_ten_grams(questions) & held_out
    assert not plain_ten_grams({found.reply for found in exchanges}) & held_out


def test_no_held_out_question_occurs_in_the_prompts_of_fifty_steps(held_out_questions: list[str]) -> None:
    task = load_task(TinyWorldTask(type="tiny_world"))
    questions = {prompt.question for step in range(50) for prompt in task.prompts(seed=0, step=step, count=24)}
    assert len(questions) > 500
    assert not questions & set(held_out_questions)
    assert not plain_ten_grams(questions) & plain_ten_grams(held_out_questions)


def test_the_check_would_find_a_held_out_question(held_out_questions: list[str]) -> None:
    long = max(held_out_questions, key=len)
    assert plain_ten_grams([f"So {long} Tell me."]) & plain_ten_grams(held_out_questions)


def test_held_out_questions_are_always_the_same_and_cover_every_level_and_language() -> None:
    puzzles = held_out_puzzles()
    assert puzzles == held_out_puzzles()
    assert len({puzzle.question for puzzle in puzzles}) == len(puzzles) == 256
    for name in world.EXAMINED_FAMILIES:
        kinds = [(puzzle.level, puzzle.language) for puzzle in puzzles if puzzle.family == name]
        assert len(kinds) == HELD_OUT_PER_FAMILY
        assert set(kinds) == set(itertools.product(FAMILIES[name].levels, LANGUAGES))


def test_training_meets_every_family_level_and_language() -> None:
    stream = world.training_puzzles(Random(0), tuple(FAMILIES))
    kinds = {(puzzle.family, puzzle.level, puzzle.language) for puzzle in itertools.islice(stream, 3000)}
    assert kinds == {
        (name, level, language)
        for name, family in FAMILIES.items()
        for level in family.levels
        for language in LANGUAGES
    }


@pytest.mark.parametrize("family", list(FAMILIES))
def test_questions_are_in_their_language_and_golds_can_be_verified(family: str) -> None:
    for puzzle in puzzles_of(family):
        assert any("一" <= character <= "鿿" for character in puzzle.question) == (puzzle.language == "zh")
        assert set(puzzle.steps) == set(LANGUAGES)
        assert all(puzzle.steps[language] for language in LANGUAGES)
        assert puzzle.wrong
        assert puzzle.answer not in puzzle.wrong
        assert VERIFIERS[puzzle.verifier].check_gold(puzzle.gold) is None


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_equation_of_the_steps_is_true(family: str) -> None:
    num_equations = 0
    for puzzle in puzzles_of(family):
        for step in itertools.chain(*puzzle.steps.values()):
            for left, right in EQUATION.findall(step.replace(": =", "=")):
                assert eval(left) == int(right), step
                num_equations += 1
    assert (num_equations > 0) == (family in ("arithmetic", "word_problems", "countdown", "programs"))


@pytest.mark.parametrize("family", ["arithmetic", "word_problems"])
def test_the_last_step_of_a_calculation_gives_the_answer(family: str) -> None:
    for puzzle in puzzles_of(family):
        assert all(steps[-1].endswith(f"={puzzle.answer}") for steps in puzzle.steps.values())


def test_an_arithmetic_answer_is_the_value_of_the_expression_asked_for() -> None:
    for puzzle in puzzles_of("arithmetic"):
        (expression,) = re.findall(r"[\d+\-*()]+", puzzle.question)
        assert eval(expression) == int(puzzle.gold)


def test_a_countdown_ends_with_the_trial_that_makes_the_target() -> None:
    for puzzle in puzzles_of("countdown"):
        for language, (*failed, last) in puzzle.steps.items():
            assert puzzle.answer in last
            assert last.endswith({"en": " yes", "zh": "对"}[language])
            assert not last.endswith("不对")
            assert all(step.endswith((" wrong", "不对")) for step in failed)
        assert VERIFIERS["countdown"].grade(puzzle.answer, puzzle.gold) == 1.0


@pytest.mark.parametrize("family", ["permutations", "facts"])
def test_the_last_step_names_the_answer(family: str) -> None:
    for puzzle in puzzles_of(family):
        assert all(puzzle.answer in steps[-1] for steps in puzzle.steps.values())


def test_an_ordering_is_followed_to_the_place_asked_for() -> None:
    for puzzle in puzzles_of("ordering"):
        place = re.findall(r"second|third|fourth|fifth|第[一二三四五]", puzzle.question)[-1]
        assert puzzle.steps[puzzle.language][-1].endswith(f"{puzzle.answer} {place}")


def test_the_liars_are_those_of_the_supposition_that_bears_the_check() -> None:
    for puzzle in puzzles_of("truth_tellers"):
        steps = puzzle.steps["en"]
        start = max(i for i, step in enumerate(steps) if step.startswith("suppose"))
        assert steps[-1].endswith("yes")
        liars = [step.split()[1] for step in steps[start:-1] if step.endswith("lies")]
        assert " ".join(liars) == puzzle.answer or (not liars and puzzle.answer in ("nobody", "无人"))


def test_the_steps_of_a_program_hold_its_slope_and_offset() -> None:
    for puzzle in puzzles_of("programs"):
        body = puzzle.answer.removeprefix("lambda x: ")
        slope, offset = re.fullmatch(r"(\d+)\*x\+(\d+)", body).groups()
        for steps in puzzle.steps.values():
            last = steps[-1]
            assert last == body or re.search(rf"(?<!\d){slope}\*(\d+)=(\d+),\2\+{offset}=", last)
