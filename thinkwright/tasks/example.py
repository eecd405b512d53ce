"""What a row of a data set becomes, and where the rows of a named set lie."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


class UnusableRow(ValueError):
    """A row that is whole but cannot be rewarded: left out of the task, counted and listed with this reason."""


def question_digest(question: str) -> str:
    """A short name of a question, the same wherever it stands."""
    return hashlib.sha256(question.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Example:
    """A question with all that a prompt holds but the template."""

    question: str
    verifier: str
    gold: str
    reference: str
    """A right answer as a model would write it; empty where none is known."""
    family: str
    level: int = 1
    language: str = "en"
    core: str = ""
    """The words that make it this question, where the question also has words that every row of its set has."""
    source_id: str = ""
    """The row's id within its set, where the source gives one."""

    @property
    def compared(self) -> str:
        """What tells it from other questions: the text for duplicates and leaks."""
        return self.core or self.question


@dataclass(frozen=True)
class Source:
    """Rows of a named set: a file below the data folder, and the same rows on the Hub where they are there."""

    file: str = ""
    """Path below the data folder; empty if the rows are on the Hub only."""
    hub: str = ""
    """``owner/name:split`` or ``owner/name:configuration:split``; empty if the rows are local only."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """The file's column names that the Hub calls otherwise, with the Hub's name of each."""
    constants: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Columns of the file that every row of this Hub address has in common."""
    keep: Callable[[Row], bool] | None = None
    """Which rows of the file belong to this part; all if None."""
    make: Callable[[tuple[str, ...]], Iterator[Row]] | None = None
    """Makes rows of these families (all if none) where a set is a program instead of a file."""


@dataclass(frozen=True)
class NamedSet:
    """A data set the package knows by name: its two parts, and how a row of either becomes an example."""

    example: Callable[[Row], Example]
    """Raises UnusableRow for a row to leave out, and whatever it likes for a broken one."""
    training: tuple[Source, ...] = ()
    """Empty for a set that is for evaluation only."""
    held_out: tuple[Source, ...] = ()
    is_made: bool = False
    """Questions were made from templates: they are the same when all of the text is, not when ten words are."""
    level_means: str = ""
    """What an example's level counts; empty if all rows have level 1."""
    broken: Mapping[str, str] = field(default_factory=dict[str, str])
    """Ids of rows whose own answer is wrong or cannot be checked, with the reason."""


def split_by_digest(source: Source, column: str) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Training and held-out sources of a set without a split: a tenth, told by the text's SHA-256, is held out."""

    def is_held_out(row: Row) -> bool:
        belongs = source.keep is None or source.keep(row)
        return belongs and _is_tenth(str(row[column]))

    def is_training(row: Row) -> bool:
        belongs = source.keep is None or source.keep(row)
        return belongs and not _is_tenth(str(row[column]))

    def part(keep: Callable[[Row], bool]) -> tuple[Source, ...]:
        return (Source(source.file, source.hub, source.columns, source.constants, keep),)

    return part(is_training), part(is_held_out)


def _is_tenth(text: str) -> bool:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 10 == 0
