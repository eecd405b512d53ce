"""Preference pairs from the votes of compare mode, in the form that a ``reward_model`` stage learns from."""

from collections import Counter
from pathlib import Path
from typing import Any

from thinkwright.errors import DataError
from thinkwright.pipeline.preferences import refuse_existing, write_rows
from thinkwright.rewards.language import detect_language
from thinkwright.serving.votes import Vote, VoteReply, read_votes
from thinkwright.tasks.example import Row
from thinkwright.tasks.pair_forms import LeftOut, pair_of


def export_votes(path: Path, out: Path, *, model: str | None, blind_only: bool) -> list[str]:
    """Write the pairs of all votes that chose one of two replies; gives back what to tell, a line each.

    ``model``: only votes on at least one reply of that model. ``blind_only``: only votes given without names. A tie and
    "neither" prefer nothing, so they are left out and counted, as ``preferences import`` does; so are rows that the
    stage would refuse. Raises DataError for a file that cannot be read, if nothing is left, and if ``out`` is there.
    """
    refuse_existing(out)
    left_out: Counter[str] = Counter()
    rows: list[Row] = []
    num_votes = 0
    for vote in read_votes(path):
        num_votes += 1
        if reason := _unwanted(vote, model, blind_only):
            left_out[reason] += 1
            continue
        try:
            rows.append(_pair(vote, path))
        except LeftOut as error:
            left_out[str(error)] += 1
    reasons = [f"{count:,} votes left out: {reason}" for reason, count in left_out.most_common()]
    if not rows:
        raise DataError(f"{path}: no vote prefers a reply ({'; '.join(reasons) or 'it holds none'}); vote more first")
    write_rows(out, rows)
    return [f"{out}: {len(rows):,} pairs from {num_votes:,} votes of {path}", *reasons]


def _unwanted(vote: Vote, model: str | None, blind_only: bool) -> str | None:
    """Why a vote gives no pair, if it does not."""
    if model is not None and all(reply.model != model for reply in vote.replies):
        return f"on other models than {model}"
    if blind_only and not vote.is_blind:
        return "not blind"
    return {"tie": "a tie", "neither": "neither reply was good"}.get(vote.choice)


def _pair(vote: Vote, path: Path) -> Row:
    """Our row. Raises LeftOut for one that could not be learned from."""
    chosen, rejected = vote.replies if vote.choice == "first" else vote.replies[::-1]
    first = "chosen" if vote.choice == "first" else "rejected"
    theirs = {"prompt": _conversation(vote), "first": first, "votes": [1]}
    row = pair_of(theirs | _side(chosen, "chosen") | _side(rejected, "rejected"), f"{path}: vote {vote.id}")
    source = {"votes": path.name, "id": str(vote.id), "chosen": chosen.model, "rejected": rejected.model}
    return row | {"language": detect_language(row["question"]), "source": source | {"is_blind": vote.is_blind}}


def _side(reply: VoteReply, side: str) -> dict[str, Any]:
    """A thought of blanks is none."""
    thought = reply.thought.strip()
    return {side: reply.answer} | ({f"{side}_thought": thought} if thought else {})


def _conversation(vote: Vote) -> list[dict[str, str]]:
    """All that was said before the replies, the question last."""
    roles = {"developer": "system"}
    found = [{"role": roles.get(one.role, one.role), "content": one.content} for one in vote.messages]
    ends_with_question = bool(found) and found[-1]["role"] == "user"
    return found if ends_with_question else [*found, {"role": "user", "content": vote.question}]
