"""Questions without a rule to judge answers by, from files or the Hub: for reward models, judges and teachers."""

from thinkwright.characters import check_characters
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.tasks import PromptsTask
from thinkwright.errors import DataError
from thinkwright.rewards.language import detect_language
from thinkwright.tasks.example import question_digest
from thinkwright.tasks.read import place_of, read_rows, stem_of
from thinkwright.tasks.row_prompts import RowPrompts
from thinkwright.types import Prompt

NO_RULE = ""
"""In place of a verifier's name."""


def load_open_prompts(settings: PromptsTask, template: str) -> RowPrompts:
    """Every different question once. Raises DataError for a file or row that cannot be used, and if none is left."""
    found: dict[str, Prompt] = {}
    rows = long = repeated = 0
    for address in settings.data:
        before = rows
        for number, row in read_rows(address, "task.data"):
            rows += 1
            place = place_of(address, number)
            question = _text(row, settings.column, place, "task.column")
            if settings.max_question_characters is not None and len(question) > settings.max_question_characters:
                long += 1
                continue
            reference = (
                _text(row, settings.reference_column, place, "task.reference_column")
                if settings.reference_column is not None
                else ""
            )
            repeated += question in found
            found.setdefault(question, _prompt(question, reference, stem_of(address), template))
        if rows == before:
            raise DataError(f"{address}: holds no row; give questions, or take it out of task.data")
    names = ", ".join(settings.data)
    if not found:
        raise DataError(
            f"{names}: no question is left, since all {rows} are longer than task.max_question_characters = "
            f"{settings.max_question_characters}; raise it"
        )
    left_out = {"repeated": repeated, "too_long": long}
    report = {"sources": list(settings.data), "rows": rows, "used": len(found), "left_out": left_out}
    line = f"{names}: {rows} rows, {len(found)} different questions used, {repeated} repeated, {long} too long"
    return RowPrompts(tuple(found.values()), (), {"training": report}, (line,))


def _prompt(question: str, reference: str, family: str, template: str) -> Prompt:
    return Prompt(
        prompt_id=f"{family}/{question_digest(question)}",
        question=question,
        text=TEMPLATES[template].prompt(question),
        verifier=NO_RULE,
        gold="",
        reference=reference,
        template=template,
        family=family,
        level=1,
        language=detect_language(question),
    )


def _text(row: dict[str, object], column: str, place: str, key: str) -> str:
    if column not in row:
        raise DataError(f"{place}: no column {column!r}, only {', '.join(map(repr, row))}; set {key}")
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: column {column!r} is no text; mend the row or take it out")
    check_characters(value, place, f"column {column!r}")
    return value.strip()
