"""Preference pairs from a judge: which of two responses is better, by four votes in both orders.

DeepSeek-R1 (arXiv:2501.12948, section 2.3.4): DeepSeek-V3 was asked four times with the responses in either order, the
votes averaged, and pairs kept whose mean is more than 1 from a tie. What was judged is kept in a journal beside the
pairs, so that the same command goes on where another was stopped.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from thinkwright.characters import check_characters
from thinkwright.chat.template import TAGS
from thinkwright.config.judge import Judge
from thinkwright.errors import DataError, RunFolderError
from thinkwright.models.endpoint import ServedModel
from thinkwright.rewards.judge import VOTES_EACH_ORDER, Pairing, PairJudgement, check_verdicts, judge_pairs
from thinkwright.rewards.language import detect_language
from thinkwright.run_folder import append_jsonl, write_bytes_atomic
from thinkwright.tasks.example import Row
from thinkwright.tasks.read import expanded, is_file, place_of, read_rows

MIN_MARGIN = 1.0
"""A pair is kept if its votes are on average further from a tie."""
_BATCH = 64
_SIDES = ("first", "second")


@dataclass(frozen=True)
class _Candidate:
    """A row of two responses."""

    number: int
    pairing: Pairing
    thoughts: tuple[str | None, str | None]
    language: str

    def digest(self, judge: Judge) -> str:
        """What a judgement in the journal is found by: another text or judge is another judgement."""
        texts = [judge.name, self.pairing.question, self.pairing.first, self.pairing.second]
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def judge_file(path: str, out: Path, judge: Judge, *, min_margin: float = MIN_MARGIN, seed: int = 0) -> dict[str, Any]:
    """Judge the rows at an address and write preference pairs (``tasks/preferences.py``) to ``out``, whole or not.

    A row is ``question``, ``first`` and ``second`` (or ``responses``, a list of both), and may have ``first_thought``,
    ``second_thought`` and ``language``; the judge never sees thoughts. Rows judged before, as told by
    ``OUT.journal.jsonl``, are not asked about again. Returns counts: rows, asked, pairs, what was left out, and how
    the order swayed the judge.

    Raises DataError for a broken row or journal, EndpointError if the judge is down, GraderError if it gives too few
    verdicts, and RunFolderError if a file cannot be written, or if one would be written over the rows.
    """
    journal = out.with_name(f"{out.name}.journal.jsonl")
    _check_paths(path, out, journal)
    candidates = _read(path)
    found = _read_journal(journal)
    waiting = {digest: one for one in candidates if (digest := one.digest(judge)) not in found}
    num_rows = len({one.digest(judge) for one in candidates})
    unread = _ask(waiting, num_rows, judge, journal, found, seed)
    judged = [(one, found[digest]) for one in candidates if (digest := one.digest(judge)) in found]
    kept = [(one, votes) for one, votes in judged if abs(votes.mean) > min_margin]
    lines = [json.dumps(_pair(path, one, votes, judge), ensure_ascii=False) + "\n" for one, votes in kept]
    write_bytes_atomic(out, "".join(lines).encode())
    return {
        "rows": len(candidates),
        "asked": len(waiting),
        "pairs": len(kept),
        "left_out": {"too close": len(judged) - len(kept), "no verdict": len(unread)},
        **_position_bias([votes for _, votes in judged]),
    }


def _ask(
    waiting: dict[str, _Candidate],
    num_rows: int,
    judge: Judge,
    journal: Path,
    found: dict[str, PairJudgement],
    seed: int,
) -> list[str]:
    """Judge what waits; each judgement goes to the journal and to ``found`` as it comes. Gives back what had none."""
    unread: list[str] = []
    items = list(waiting.items())
    num_judged_before = num_rows - len(waiting)
    with ServedModel(judge) as model:
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            # A seed of its own for each batch, told by its texts: a resumed command has other batches.
            batch_seed = int(hashlib.sha256(f"{seed}/{batch[0][0]}".encode()).hexdigest()[:7], 16)
            with closing(judge_pairs(model, judge, [one.pairing for _, one in batch], batch_seed)) as judgements:
                for i, judgement in judgements:
                    if judgement.votes:
                        digest = batch[i][0]
                        found[digest] = judgement
                        append_jsonl(journal, {"digest": digest, "votes": list(judgement.votes)})
                    else:
                        unread.append(judgement.unread)
            check_verdicts(unread, num_judged_before + start + len(batch), judge)
    return unread


def _read_journal(path: Path) -> dict[str, PairJudgement]:
    """The judgements there are; a line that was cut off is taken out, so that the next one starts on its own.

    Raises DataError for a line that holds no judgement.
    """
    if not path.exists():
        return {}
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    write_bytes_atomic(path, b"".join(lines))
    return dict(_judgement(line, place_of(str(path), number)) for number, line in enumerate(lines, 1))


def _judgement(line: bytes, place: str) -> tuple[str, PairJudgement]:
    try:
        row: Any = json.loads(line)
        digest, votes = row["digest"], tuple(row["votes"])
    except (ValueError, KeyError, TypeError, RecursionError):
        digest, votes = None, ()
    is_whole = isinstance(digest, str) and len(votes) == 2 * VOTES_EACH_ORDER
    if not is_whole or not all(type(vote) is int and -2 <= vote <= 2 for vote in votes):
        raise DataError(f"{place}: holds no judgement; take the line out, and its pair is judged again")
    return cast("str", digest), PairJudgement(cast("tuple[int, ...]", votes))


def _check_paths(path: str, out: Path, journal: Path) -> None:
    """Neither of the files to be written may be the one that is read. Raises RunFolderError."""
    if not is_file(path):
        return
    read = expanded(path, "the pairs' file")
    for written in (out, journal):
        if written.resolve() == read.resolve() or (written.exists() and read.exists() and written.samefile(read)):
            raise RunFolderError(
                f"{written}: would be written over the rows to be judged; give another file with --out"
            )


def _pair(path: str, candidate: _Candidate, judgement: PairJudgement, judge: Judge) -> dict[str, Any]:
    """The row of a pair; votes count for the chosen response, and ``first`` says which stood first in the file."""
    is_first_better = judgement.mean > 0
    responses = list(
        zip((candidate.pairing.first, candidate.pairing.second), candidate.thoughts, strict=True),
    )
    (chosen, chosen_thought), (rejected, rejected_thought) = responses if is_first_better else responses[::-1]
    return {
        "question": candidate.pairing.question,
        "chosen": chosen,
        "rejected": rejected,
        "chosen_thought": chosen_thought,
        "rejected_thought": rejected_thought,
        "first": "chosen" if is_first_better else "rejected",
        "votes": [vote if is_first_better else -vote for vote in judgement.votes],
        "language": candidate.language,
        "source": {"file": path, "row": candidate.number, "judge": judge.name},
    }


def _position_bias(judgements: Sequence[PairJudgement]) -> dict[str, float]:
    num_votes = sum(len(judgement.votes) for judgement in judgements)
    changes = sum(judgement.num_order_changes for judgement in judgements)
    shown_first = sum(judgement.mean_for_shown_first for judgement in judgements)
    return {
        "order_changed_share": changes / max(1, num_votes // 2),
        "mean_for_shown_first": shown_first / max(1, len(judgements)),
    }


def _read(path: str) -> list[_Candidate]:
    """Raises DataError for a broken row, and if there is none."""
    found = [_candidate(row, number, place_of(path, number)) for number, row in read_rows(path, "the pairs' file")]
    if not found:
        raise DataError(f"{path}: holds no row; give rows with question, first and second")
    return found


def _candidate(row: Row, number: int, place: str) -> _Candidate:
    responses = row.get("responses")
    if isinstance(responses, list):
        if len(responses) != 2:
            raise DataError(f"{place}: responses holds {len(responses)} texts; give two, or first and second")
        row = row | dict(zip(_SIDES, responses, strict=True))
    question = _text(row, "question", place)
    first, second = (_text(row, side, place) for side in _SIDES)
    if first == second:
        raise DataError(f"{place}: both responses are the same; take the row out")
    thoughts = [_text(row, key, place) if row.get(key) is not None else None for key in _thought_keys()]
    language = row.get("language")
    return _Candidate(
        number,
        Pairing(question, first, second),
        (thoughts[0], thoughts[1]),
        language if isinstance(language, str) and language else detect_language(question),
    )


def _thought_keys() -> list[str]:
    return [f"{side}_thought" for side in _SIDES]


def _text(row: Row, key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key} is no text; write question, first and second in every row")
    check_characters(value, place, key)
    if key != "question" and (tag := next((tag for tag in TAGS if tag in value), None)):
        raise DataError(f"{place}: {key} holds {tag}; give thoughts in first_thought and second_thought")
    return value
