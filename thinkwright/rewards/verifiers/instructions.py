"""Instructions that can be checked by rule: the constraints of IFEval, all of them or the share that is followed."""

from dataclasses import dataclass
from typing import Any, cast

from thinkwright.rewards.identify import load_identifier
from thinkwright.rewards.verifier import Verifier
from thinkwright.rewards.verifiers.gold import read_gold_object, read_strings
from thinkwright.rewards.verifiers.ifeval_constraints import CONSTRAINTS

MAX_RESPONSE_CHARACTERS = 200_000


@dataclass(frozen=True)
class InstructionsGold:
    """What a response must follow: each constraint by its id, with its arguments."""

    constraints: tuple[tuple[str, dict[str, Any]], ...]
    is_shared: bool
    """Whether a part of the constraints earns its share; otherwise all must be followed."""


def parse_instructions(gold: str) -> InstructionsGold | None:
    """Reads JSON ``{"instruction_id_list": [ids], "kwargs": [{..}], "credit": "all" or "share"}``, credit optional.

    None if it is anything else, an id is not known, or an argument is missing or of the wrong kind. Arguments that are
    null count as not given.
    """
    found = read_gold_object(gold) or {}
    ids, given = read_strings(found.get("instruction_id_list")), found.get("kwargs")
    credit = found.get("credit", "all")
    if ids is None or not isinstance(given, list) or credit not in ("all", "share"):
        return None
    rows = cast("list[Any]", given)
    if len(rows) != len(ids) or not all(isinstance(row, dict) for row in rows):
        return None
    constraints = [
        (name, {key: value for key, value in row.items() if value is not None})
        for name, row in zip(ids, cast("list[dict[str, Any]]", rows), strict=True)
    ]
    if not all(_is_known(name, arguments) for name, arguments in constraints):
        return None
    return InstructionsGold(tuple(constraints), credit == "share")


def _is_known(name: str, arguments: dict[str, Any]) -> bool:
    constraint = CONSTRAINTS.get(name)
    if constraint is None:
        return False
    return all(key in arguments and is_kind(arguments[key]) for key, is_kind in constraint.arguments.items())


def followed(response: str, gold: InstructionsGold) -> list[bool]:
    """Whether each constraint is followed, strictly: by the response as it is. An empty one follows none."""
    if not response.strip() or len(response) > MAX_RESPONSE_CHARACTERS:
        return [False] * len(gold.constraints)
    return [CONSTRAINTS[name].is_followed(response, arguments) for name, arguments in gold.constraints]


def _contradiction(gold: InstructionsGold) -> str | None:
    """The constraint that a prompt to be repeated breaks for good, however the response goes on; None without one."""
    prompts = [arguments["prompt_to_repeat"] for name, arguments in gold.constraints if name.endswith("repeat_prompt")]
    for name, arguments in gold.constraints:
        is_limit = name in ("punctuation:no_comma", "keywords:forbidden_words") or (
            name.startswith("keywords:") and "less than" in arguments.values()
        )
        if is_limit and not all(CONSTRAINTS[name].is_followed(prompt, arguments) for prompt in prompts):
            return name
    return None


def _check_gold(gold: str) -> str | None:
    constraints = parse_instructions(gold)
    if constraints:
        broken = _contradiction(constraints)
        return f"contradicts itself: the prompt to repeat breaks {broken}" if broken else None
    return 'is not JSON of the form {"instruction_id_list": [IFEval ids], "kwargs": [their arguments]}'


def _grade(answer: str, gold: str) -> float:
    expected = parse_instructions(gold)
    if expected is None:
        return 0.0
    verdicts = followed(answer, expected)
    return sum(verdicts) / len(verdicts) if expected.is_shared else float(all(verdicts))


def _wrong_answer(gold: str) -> str:
    """A text that earns nothing: one with what is forbidden, a very short one, a very long one, or, at last, none."""
    expected = parse_instructions(gold)
    if expected is None:
        return ""
    unwanted = [
        word
        for _, arguments in expected.constraints
        for word in (*arguments.get("forbidden_words", ()), arguments.get("keyword", ""), arguments.get("letter", ""))
    ]
    too_much = "Well, \u5b57 " + " ".join(unwanted * 100)
    attempts = ("Well, no", too_much, ", Word. WORD" * 2_000, "word")
    return next((attempt for attempt in attempts if _grade(attempt, gold) == 0.0), "")


VERIFIER = Verifier(_check_gold, _grade, _wrong_answer, load=load_identifier)
