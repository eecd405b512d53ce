"""Rows to fine-tune on from public sets, by name: question, thought (or none) and answer, as ``sft`` reads them.

They lie in the folder that THINKWRIGHT_DATA names, as the task sets do. A row that cannot be told apart into a question
and an answer is passed over; whoever learns from them checks the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from thinkwright.errors import DataError
from thinkwright.tasks.example import Row
from thinkwright.tasks.named import DATA_VARIABLE, data_folder
from thinkwright.tasks.read import read_rows

NAME = "Thinkwright"
"""What rows about the assistant itself call it and those who made it."""
Exchange = tuple[str, str | None, str]
"""Question, thought and answer."""


@dataclass(frozen=True)
class KnownRows:
    """Where rows lie and how one is read."""

    file: str
    read: Callable[[Row], Exchange | None]


def known_rows(name: str, key: str) -> Iterator[tuple[int, Row]]:
    """The rows of a set, with their numbers in its file. Raises DataError for a name or a folder that is not there."""
    if name not in KNOWN_ROWS:
        raise DataError(f"known:{name}: no rows of this name; write one of {', '.join(KNOWN_ROWS)} as {key}")
    folder = data_folder(None)
    if folder is None:
        raise DataError(f"known:{name}: set the environment variable {DATA_VARIABLE} to the folder of data sets")
    known = KNOWN_ROWS[name]
    for number, row in read_rows(str(folder / known.file), key):
        try:
            exchange = known.read(row)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(f"{folder / known.file}:{number}: not a row of {name} ({error}); mend the row") from error
        if exchange is not None:
            question, thought, answer = exchange
            yield number, {"question": question, "thought": thought, "answer": answer, "source": {"set": name}}


def _instruction(answer_key: str) -> Callable[[Row], Exchange | None]:
    """Instruction, input and output, as Alpaca wrote them."""

    def read(row: Row) -> Exchange | None:
        return _exchange(_asked(row["instruction"], row["input"]), None, row[answer_key])

    return read


def _identity(row: Row) -> Exchange | None:
    answer = row["output"].replace("{{name}}", NAME).replace("{{author}}", NAME)
    return _exchange(_asked(row["instruction"], row["input"]), None, answer)


def _self_instruct(row: Row) -> Exchange | None:
    instance = row["instances"][0]
    return _exchange(_asked(row["instruction"], instance["input"]), None, instance["output"])


def _nq_open(row: Row) -> Exchange | None:
    return _exchange(row["question"], None, row["answer"][0])


def _best_reply(row: Row) -> Exchange | None:
    """The first question of a conversation tree and the reply that people ranked highest."""
    replies = [reply for reply in row["prompt"]["replies"] if reply.get("rank") is not None]
    best = min(replies, key=lambda reply: reply["rank"], default=None)
    return _exchange(row["prompt"]["text"], None, best["text"]) if best is not None else None


def _between(text: str, opening: str, middle: str, closing: str) -> tuple[str, str] | None:
    """What stands between the tags of a thought and after them."""
    head, found, tail = text.partition(middle)
    return (head.partition(opening)[2], tail.removesuffix(closing)) if found and opening in head else None


def _star1(row: Row) -> Exchange | None:
    parts = _between(row["response"], "<think>", "</think>", "")
    return _exchange(row["question"], *parts) if parts is not None else None


def _marco(row: Row) -> Exchange | None:
    parts = _between(row["response"].strip(), "<Thought>", "</Thought>", "</Output>")
    return _exchange(row["instruction"], parts[0], parts[1].replace("<Output>", "")) if parts is not None else None


def _r1_math(row: Row) -> Exchange | None:
    return _exchange(row["problem"], row["message_thinking"], row["message_content"])


def _s1k(row: Row) -> Exchange | None:
    return _exchange(row["question"], row["gemini_thinking_trajectory"], row["gemini_attempt"])


def _asked(instruction: str, given: str) -> str:
    return f"{instruction}\n\n{given}" if given.strip() else instruction


def _exchange(question: Any, thought: str | None, answer: str) -> Exchange | None:
    """None if one side is blank, or a thought there should be is."""
    thought = thought.strip() if thought is not None else None
    is_whole = bool(question.strip() and answer.strip()) and thought != ""
    return (question.strip(), thought, answer.strip()) if is_whole else None


KNOWN_ROWS: dict[str, KnownRows] = {
    "identity": KnownRows("identity/identity.jsonl", _identity),
    "short_instructions": KnownRows("short_instructions/instruction-data.jsonl", _instruction("output")),
    "roleplay": KnownRows("gpteacher_roleplay/roleplay.jsonl.gz", _instruction("response")),
    "self_instruct": KnownRows("self_instruct/seed_tasks.jsonl", _self_instruct),
    "nq_open": KnownRows("nq_open/NQ-open.dev.jsonl", _nq_open),
    "oasst": KnownRows("oasst_en_100_trees/en_100_tree.jsonl.gz", _best_reply),
    "star1": KnownRows("star1_r1_safety_cot/star1.jsonl.gz", _star1),
    "marco_o1": KnownRows("marco_o1_cot/cot_demo.jsonl", _marco),
    "r1_math": KnownRows("r1_math_samples/sample_openrouter_outputs.jsonl", _r1_math),
    "s1k": KnownRows("s1k_sample/reasoning_dataset.jsonl", _s1k),
}
