"""Votes of compare mode: which of two replies a person preferred, kept in one SQLite file.

A vote that was acknowledged is on the disk: the log is written ahead and synchronised at every commit. One sent again
under the same id, because its acknowledgement got lost, stays one vote. ``votes_export.py`` makes preferences of them.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thinkwright.errors import DataError
from thinkwright.serving.apis.openai_common import openai_error

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
"""The longest that a vote waits for another process that writes into the file."""
_TABLE = """\
CREATE TABLE votes (
    id TEXT PRIMARY KEY,
    made_at TEXT NOT NULL,
    first_model TEXT NOT NULL,
    second_model TEXT NOT NULL,
    choice TEXT NOT NULL,
    body TEXT NOT NULL
)"""
_MAX_PROBLEMS, _MAX_SETTINGS = 3, 50
_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Name = Annotated[str, Field(min_length=1, max_length=300)]
_Names = Annotated[list[_Name], Field(max_length=_MAX_SETTINGS, fail_fast=True)]
_Text = Annotated[str, Field(max_length=1_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_no_other_keys(cls, value: Any) -> Any:
        """Before all else: pydantic makes a report for each, and a body could have a hundred thousand."""
        for key in cast("dict[str, Any]", value) if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                raise PydanticCustomError("refused", "{key}: is no key here", {"key": key[:100]})
        return value


def _few(value: Any) -> Any:
    if isinstance(value, dict) and len(cast("dict[Any, Any]", value)) > _MAX_SETTINGS:
        raise PydanticCustomError("refused", "more than {most} keys", {"most": _MAX_SETTINGS})
    return value


class VoteMessage(_Body):
    """One message of the conversation before the replies."""

    role: Literal["system", "developer", "user", "assistant"]
    content: _Text


class VoteReply(_Body):
    """One of the two replies."""

    model: _Name
    thought: _Text = ""
    answer: _Text
    finish_reason: Annotated[str, Field(max_length=40)] | None = None
    settings: Annotated[
        dict[_Name, Annotated[str, Field(max_length=1000)] | int | float | bool | _Names | None],
        Field(max_length=_MAX_SETTINGS),
        BeforeValidator(_few),
    ] = {}
    """How it was drawn: temperature and the like."""


class Vote(_Body):
    """What a person thought of two replies to the same question."""

    id: UUID
    """Made by the client, so that a vote sent twice is one."""
    question: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    messages: Annotated[list[VoteMessage], Field(max_length=1024, fail_fast=True)] = []
    """The conversation before the replies; the question itself may be the last of it."""
    replies: Annotated[list[VoteReply], Field(min_length=2, max_length=2, fail_fast=True)]
    """In the order in which they were shown."""
    choice: Literal["first", "second", "tie", "neither"]
    is_blind: bool
    """Whether the models' names were hidden until the vote."""
    note: Annotated[str, Field(max_length=10_000)] = ""


class VoteStore:
    """The file of votes. All its work is done in one thread of its own, as SQLite would have it."""

    def __init__(self, path: Path) -> None:
        """Open the file if it is there; the first vote makes it, so that a server where nobody votes needs none.

        Raises DataError for one that is damaged, read-only or of something else.
        """
        self.path = path
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="votes")
        self._connection: sqlite3.Connection | None = None
        try:
            if path.exists():
                self._worker.submit(self._opened).result()
        except BaseException:
            self._worker.shutdown()
            raise

    async def add(self, vote: Vote) -> bool:
        """Keep a vote; it is on the disk when this returns. False if it was there already.

        Raises sqlite3.Error if it cannot be written (a full disk, or another process that does not let go of the file),
        DataError if the file cannot be made.
        """
        return await self._do(lambda: _add(self._opened(), vote))

    async def counts(self) -> list[dict[str, Any]]:
        """Of each pair of models: ``models``, ``wins`` (in the same order), ``ties``, ``neither``. No texts."""
        return await self._do(lambda: [] if self._connection is None else _counts(self._connection))

    def close(self) -> None:
        """Finish what is under way and let go of the file."""
        if self._connection is not None:
            self._worker.submit(self._connection.close).result()
        self._worker.shutdown()

    def _opened(self) -> sqlite3.Connection:
        """In the worker's thread."""
        if self._connection is None:
            self._connection = _open(self.path)
        return self._connection

    async def _do(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


async def post_vote(store: VoteStore, request: Request) -> Response:
    """``POST /votes``: 201 once the vote is on the disk, 200 if it was there already."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refusal(415, "a vote is sent as application/json")
    try:
        vote = Vote.model_validate_json(await request.body())
    except ValidationError as error:
        return _refusal(400, f"no vote: {_problems(error)}")
    try:
        is_new = await store.add(vote)
    except DataError as error:
        _log.error("%s", error)
        return _refusal(503, "the vote could not be kept: the server cannot write its file; its log says why")
    except sqlite3.Error as error:
        _log.error("%s: a vote could not be kept (%s)", store.path, error)
        return _refusal(503, f"the vote could not be kept ({error}); send it again")
    return JSONResponse({"id": str(vote.id), "is_new": is_new}, 201 if is_new else 200)


async def get_votes(store: VoteStore, request: Request) -> Response:
    """``GET /votes``: how often each model won against each other one."""
    try:
        pairs = await store.counts()
    except sqlite3.Error as error:
        _log.error("%s: the votes could not be counted (%s)", store.path, error)
        return _refusal(503, f"the votes could not be counted ({error}); ask again")
    return JSONResponse({"num_votes": sum(_num_votes(pair) for pair in pairs), "pairs": pairs})


def read_votes(path: Path) -> Iterator[Vote]:
    """All votes of a file, in the order in which they came; changes nothing in it.

    Raises DataError if there is no such file, for one that cannot be read, and for a vote that is none.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the one that thinkwright serve keeps votes in (--votes)")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as found:
            if not _has_table(found, path):
                return
            for name, body in found.execute("SELECT id, body FROM votes ORDER BY made_at, rowid"):
                try:
                    yield Vote.model_validate_json(body)
                except ValidationError as error:
                    raise DataError(f"{path}: vote {name} is damaged ({_problems(error)}); delete it") from error
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Commits are written out as BEGIN and COMMIT here.
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        is_ours = _has_table(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Asks for the right to write even where the table is there, so that a read-only file is known of now.
        connection.execute("BEGIN IMMEDIATE")
        if not is_ours and not _has_table(connection, path):  # another process may have made it meanwhile
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException as error:
        with suppress(sqlite3.Error):
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise _unusable(path, error) from error
        raise
    return connection


def _has_table(connection: sqlite3.Connection, path: Path) -> bool:
    """False for an empty file. Raises DataError for one of something else, or of a later version."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version == 0 and not tables:
        return False
    if version > SCHEMA_VERSION and "votes" in tables:
        raise DataError(f"{path}: was written by a later version of thinkwright; use that, or give another file")
    if version != SCHEMA_VERSION or "votes" not in tables:
        raise DataError(f"{path}: is a database of something else; give another file with --votes")
    return True


def _add(connection: sqlite3.Connection, vote: Vote) -> bool:
    first, second = vote.replies
    row = (str(vote.id), datetime.now(UTC).isoformat(), first.model, second.model, vote.choice, vote.model_dump_json())
    # A statement by itself is its own transaction, committed when it is done.
    return connection.execute("INSERT OR IGNORE INTO votes VALUES (?, ?, ?, ?, ?, ?)", row).rowcount == 1


def _counts(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    query = "SELECT first_model, second_model, choice, count(*) FROM votes GROUP BY 1, 2, 3"
    for first, second, choice, count in connection.execute(query):
        models = (min(first, second), max(first, second))
        pair = pairs.setdefault(models, {"models": list(models), "wins": [0, 0], "ties": 0, "neither": 0})
        if choice in ("first", "second"):
            is_turned = first > second
            pair["wins"][int((choice == "second") != is_turned)] += count
        else:
            pair["ties" if choice == "tie" else "neither"] += count
    return [pairs[models] for models in sorted(pairs)]


def _num_votes(pair: dict[str, Any]) -> int:
    return sum(pair["wins"]) + pair["ties"] + pair["neither"]


def _refusal(status: int, message: str) -> Response:
    return JSONResponse(openai_error(status, message), status)


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in found[:_MAX_PROBLEMS]]
    return "; ".join(told)


def _unusable(path: Path, error: Exception) -> DataError:
    text = " ".join(str(error).split())
    if "readonly" in text or isinstance(error, PermissionError):
        remedy = "make the file and its folder writable, or give another with --votes"
    elif "locked" in text:
        remedy = f"another program has held it for over {BUSY_SECONDS:g} s; end that, or give another with --votes"
    elif "unable to open" in text or isinstance(error, OSError):
        remedy = "give a file in a folder that can be written to with --votes"
    else:
        remedy = "it is damaged; move it away (sqlite3 FILE .recover may save what is in it), or give another"
    return DataError(f"{path}: votes cannot be kept there ({text}); {remedy}")
