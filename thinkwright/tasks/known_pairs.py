"""Preferences from public sets, by name, in our form: ``known:NAME`` in the data of a ``reward_model`` stage.

They lie in the folder that THINKWRIGHT_DATA names. Rows without a preference to learn from are passed over;
``thinkwright preferences import NAME`` counts them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from thinkwright.errors import DataError
from thinkwright.tasks.example import Row
from thinkwright.tasks.named import DATA_VARIABLE, data_folder
from thinkwright.tasks.pair_forms import LeftOut, pair_of
from thinkwright.tasks.read import place_of, read_rows


@dataclass(frozen=True)
class KnownPairs:
    """Where rows lie, and what preferences one of them holds, in a form of ``pair_forms.py``."""

    file: str
    read: Callable[[Row], Iterator[Row]]
    is_for_testing: bool = False
    """Made to test reward models with: a ``reward_model`` stage does not learn from it."""


def known_pairs(name: str, key: str, left_out: Counter[str] | None = None) -> Iterator[tuple[int, Row]]:
    """The preferences of a set with the numbers of their rows; why others are left out is counted.

    Raises DataError for a name or a folder that is not there, and for a row that is not as the set's are.
    """
    if name in NOT_PAIRS:
        raise DataError(f"{name}: {NOT_PAIRS[name]}")
    if name not in KNOWN_PAIRS:
        raise DataError(f"known:{name}: no pairs of this name; write one of {', '.join(KNOWN_PAIRS)} as {key}")
    folder = data_folder(None)
    if folder is None:
        raise DataError(f"known:{name}: set the environment variable {DATA_VARIABLE} to the folder of data sets")
    path = str(folder / KNOWN_PAIRS[name].file)
    return pairs_of(_read(name, path, key), path, name, left_out if left_out is not None else Counter())


def pairs_of(
    rows: Iterable[tuple[int, Row]], address: str, name: str, left_out: Counter[str]
) -> Iterator[tuple[int, Row]]:
    """Rows of any form in ours, with where they are from; why others are left out is counted."""
    for number, row in rows:
        try:
            yield number, pair_of(row, place_of(address, number)) | {"source": {"set": name, "row": number}}
        except LeftOut as reason:
            left_out[str(reason)] += 1


def _read(name: str, path: str, key: str) -> Iterator[tuple[int, Row]]:
    for number, row in read_rows(path, key):
        try:
            found = list(KNOWN_PAIRS[name].read(row))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}:{number}: not a row of {name} ({error}); mend the row") from error
        yield from ((number, pair) for pair in found)


def _as_it_is(row: Row) -> Iterator[Row]:
    yield row


def _short_instructions(row: Row) -> Iterator[Row]:
    yield {key: row[key] for key in ("instruction", "input", "chosen", "rejected")}


def _safe_response(row: Row) -> Iterator[Row]:
    yield {"prompt": row["question"], "completion": row["response"], "label": True}


def _ranked_replies(row: Row) -> Iterator[Row]:
    """Every two replies of the assistant to the same message that people ranked apart; rank 0 is the best."""
    waiting = [([], row["prompt"])]
    while waiting:
        before, message = waiting.pop()
        talk = [*before, {"role": {"prompter": "user"}.get(message["role"], "assistant"), "content": message["text"]}]
        replies = [reply for reply in message["replies"] if not reply.get("deleted")]
        waiting += [(talk, reply) for reply in reversed(replies)]
        ranked = [reply for reply in replies if reply["role"] == "assistant" and reply.get("rank") is not None]
        for one, other in combinations(sorted(ranked, key=lambda reply: reply["rank"]), 2):
            if one["rank"] < other["rank"]:
                yield {"prompt": talk, "chosen": one["text"], "rejected": other["text"], "language": one["lang"]}


KNOWN_PAIRS: dict[str, KnownPairs] = {
    "hh_rlhf_harmless": KnownPairs("hh_rlhf_harmless/pairs.jsonl.gz", _as_it_is),
    "pandalm": KnownPairs("pandalm_pairs/testset-v1.jsonl.gz", _as_it_is),
    "oasst": KnownPairs("oasst_en_100_trees/en_100_tree.jsonl.gz", _ranked_replies),
    "short_instructions": KnownPairs("short_instructions/instruction-data-with-preference.jsonl", _short_instructions),
    "star1": KnownPairs("star1_r1_safety_cot/star1.jsonl.gz", _safe_response),
    "llmbar": KnownPairs("llmbar_pairs/llmbar.jsonl", _as_it_is, is_for_testing=True),
}
NOT_PAIRS = {
    "xstest": "has prompts without responses, to evaluate refusals with: nothing to prefer; import another set"
}
"""Public sets that one might look for here, and why they are not."""
