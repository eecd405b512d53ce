"""Which training rows are worth it: no leaks, no duplicates, not too long, not too easy or hard."""

from collections.abc import Iterable, Mapping

from thinkwright.config.tasks import Filters
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.decontamination import LeakIndex, NgramIndex, identity
from thinkwright.tasks.example import Example, question_digest
from thinkwright.tasks.part import Part
from thinkwright.tasks.read import place_of, read_rows


def apply_filters(training: Part, held_out: Part, filters: Filters, *, is_made: bool) -> None:
    """Leave out what the settings say, but for decontamination, which wants to know all evaluation questions.

    Raises RecipeError for a filter that has no effect.
    """
    if filters.max_question_characters is not None:
        for part in (training, held_out):
            _drop_long(part, filters.max_question_characters)
    if filters.deduplicate:
        _drop_duplicates(training, is_made=is_made)
    if filters.near_duplicate_share is not None:
        if is_made:
            raise RecipeError(
                "task.filters.near_duplicate_share has no effect here: these questions are made from templates and all "
                "share their words; remove it"
            )
        _drop_near_duplicates(training, filters.near_duplicate_share)
    if filters.pass_rates is not None:
        rates = _read_pass_rates(filters.pass_rates)
        _drop_by_pass_rate(training, rates, filters.min_pass_rate, filters.max_pass_rate)


def add_questions(index: LeakIndex, examples: Iterable[Example], *, is_made: bool) -> None:
    """Put evaluation questions into the index that training rows are held against."""
    for example in examples:
        index.add(example.compared, is_made=is_made)


def drop_leaks(training: Part, index: LeakIndex, against: str, *, is_made: bool) -> None:
    """Leave out training rows that give away an indexed question; ``against`` says whose."""
    training.leave_out_where(
        "contaminated",
        lambda _, example: f"against {against}" if index.leaks(example.compared, is_made=is_made) else None,
    )


def drop_repeated(part: Part, first: Mapping[tuple[bool, str], str], *, is_made: bool) -> None:
    """Leave out rows whose question another part has: ``first`` names its row by ``is_made`` and ``identity``."""

    def reason(_: str, example: Example) -> str | None:
        earlier = first.get((is_made, identity(example.compared, is_made=is_made)))
        return f"as {earlier}" if earlier is not None else None

    part.leave_out_where("duplicate", reason)


def _drop_long(part: Part, limit: int) -> None:
    def reason(_: str, example: Example) -> str | None:
        length = len(example.question)
        return f"{length} characters" if length > limit else None

    part.leave_out_where("too_long", reason)


def _drop_duplicates(part: Part, *, is_made: bool) -> None:
    first: dict[str, str] = {}

    def reason(row: str, example: Example) -> str | None:
        earlier = first.setdefault(identity(example.compared, is_made=is_made), row)
        return f"as {earlier}" if earlier != row else None

    part.leave_out_where("duplicate", reason)


def _drop_near_duplicates(part: Part, share: float) -> None:
    index = NgramIndex()

    def reason(_: str, example: Example) -> str | None:
        found = index.share(example.compared)
        if found >= share:
            return f"{found:.0%} of its 10-grams"
        index.add(example.compared)
        return None

    part.leave_out_where("near_duplicate", reason)


def _read_pass_rates(path: str) -> dict[str, float]:
    """Pass rates by the question's digest."""
    rates: dict[str, float] = {}
    for number, row in read_rows(path, "task.filters.pass_rates"):
        digest, rate = row.get("question_digest"), row.get("pass_rate")
        is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not isinstance(digest, str) or not is_number or not 0 <= row["pass_rate"] <= 1:
            raise DataError(
                f"{place_of(path, number)}: not a row with question_digest (text) and pass_rate (a number from 0 to "
                "1); give the file that `thinkwright difficulty` wrote as task.filters.pass_rates"
            )
        rates[digest] = float(row["pass_rate"])
    return rates


def _drop_by_pass_rate(part: Part, rates: dict[str, float], low: float, high: float) -> None:
    def reason(_: str, example: Example) -> str | None:
        rate = rates.get(question_digest(example.question))
        if rate is None:
            return "not measured"
        return None if low <= rate <= high else f"pass rate {rate:.3f}"

    part.leave_out_where("pass_rate", reason)
