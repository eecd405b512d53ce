"""A served model as judge: is an answer right (DeepSeek-R1, arXiv:2501.12948, listing 4), which of two is better.

A judge is asked more than once, with what it compares in either order, because the order sways it. What it says is
never taken for more than a verdict, and a verdict that cannot be read is never taken for "incorrect".
"""

import hashlib
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from thinkwright.config.judge import Judge
from thinkwright.errors import GraderError
from thinkwright.models.endpoint import Message, ServedModel
from thinkwright.rewards.judge_prompts import CORRECTNESS, PREFERENCES, correctness_messages, pair_messages
from thinkwright.rewards.verdict import read_verdict, says_nothing

Finding = Literal["correct", "incorrect", "disagreement", "no verdict", "says nothing"]
VOTES_EACH_ORDER = 2
_NUM_EXAMPLES = 3
_EXAMPLE_CHARACTERS = 200


@dataclass(frozen=True)
class Item:
    """An answer to be judged: what the asker sees, never the thought before it."""

    question: str
    reference: str
    """An answer known to be right; empty: there is none, and the answer is judged on its own merits."""
    answer: str


@dataclass(frozen=True)
class Judgement:
    """What a judge found of an item."""

    finding: Finding
    """``disagreement``: two readable verdicts that differ. ``says nothing``: the judge was not asked."""
    verdicts: tuple[str | None, ...]
    """With the reference first, then with the answer first; without a reference, two independent ones."""
    unread: str = ""
    """What the judge said last where it gave no verdict."""


@dataclass(frozen=True)
class Pairing:
    """Two responses to a question, without their thoughts."""

    question: str
    first: str
    second: str


@dataclass(frozen=True)
class PairJudgement:
    """What a judge found of two responses."""

    votes: tuple[int, ...]
    """-2 to 2, over 0 for ``first``: the votes with it shown first, then those with it shown second; empty if one of
    them could not be read."""
    unread: str = ""
    """What the judge said last where it gave no verdict."""

    @property
    def mean(self) -> float:
        """-2 (``second`` is much better) to 2."""
        return sum(self.votes) / len(self.votes)

    @property
    def num_order_changes(self) -> int:
        """Of the votes in one order, how many name another winner than their partner in the other order."""
        half = len(self.votes) // 2
        return sum(_sign(a) != _sign(b) for a, b in zip(self.votes[:half], self.votes[half:], strict=True))

    @property
    def mean_for_shown_first(self) -> float:
        """How much better whichever was shown first was found, -2 to 2; a judge without position bias has 0."""
        half = len(self.votes) // 2
        return (sum(self.votes[:half]) - sum(self.votes[half:])) / len(self.votes)


def judge_correctness(model: ServedModel, judge: Judge, items: Sequence[Item], seed: int) -> list[Judgement]:
    """What the judge finds of each item, in order; equal items are judged once.

    Raises EndpointError if the judge is down, GraderError if too many items have no verdict.
    """
    asked = [item for item in dict.fromkeys(items) if _is_reference(item) or not says_nothing(item.answer)]
    conversations = [
        correctness_messages(item.question, item.reference, item.answer, reference_first=reference_first)
        for item in asked
        for reference_first in (True, False)
    ]
    replies = dict(_ask(model, judge.tries, conversations, CORRECTNESS, seed))
    pairs = [_judgement(replies[2 * i], replies[2 * i + 1]) for i in range(len(asked))]
    check_verdicts([pair.unread for pair in pairs if pair.finding == "no verdict"], len(pairs), judge)
    found = dict(zip(asked, pairs, strict=True))
    return [found.get(item, Judgement("says nothing", ())) for item in items]


def judge_pairs(
    model: ServedModel, judge: Judge, pairings: Sequence[Pairing], seed: int
) -> Generator[tuple[int, PairJudgement]]:
    """What the judge finds of each pair, with the pair's index, as soon as it is known: four votes, two in each order.

    Pairs without a verdict have no votes; ``check_verdicts`` tells if they are too many. Raises EndpointError if the
    judge is down.
    """
    conversations = [
        pair_messages(pairing.question, *shown)
        for pairing in pairings
        for shown in ((pairing.first, pairing.second), (pairing.second, pairing.first))
        for _ in range(VOTES_EACH_ORDER)
    ]
    num_votes = 2 * VOTES_EACH_ORDER
    known: dict[int, dict[int, _Reply]] = {}
    with closing(_ask(model, judge.tries, conversations, PREFERENCES, seed)) as replies:
        for i, reply in replies:
            pair, vote = divmod(i, num_votes)
            votes = known.setdefault(pair, {})
            votes[vote] = reply
            if len(votes) == num_votes:
                yield pair, _pair_judgement([votes[j] for j in range(num_votes)])
                del known[pair]


def check_verdicts(unread: Sequence[str], num_items: int, judge: Judge) -> None:
    """Raises GraderError, with examples, if more than the configured share of items has no verdict; one never is."""
    if len(unread) < 2 or len(unread) <= judge.max_no_verdict_share * num_items:
        return
    examples = "".join(f"\n  {_cut(reply)!r}" for reply in unread[:_NUM_EXAMPLES])
    raise GraderError(
        f"{judge.url}: of {num_items} items {len(unread)} have no verdict of {judge.name} that can be read after "
        f"{judge.tries} tries, more than judge.max_no_verdict_share = {judge.max_no_verdict_share:g}; raise "
        f"judge.max_tokens if replies are cut, or choose a judge that keeps to a form; it said:{examples}"
    )


@dataclass(frozen=True)
class _Reply:
    verdict: str | None
    text: str


def _ask(
    model: ServedModel, tries: int, conversations: Sequence[list[Message]], allowed: Collection[str], seed: int
) -> Generator[tuple[int, _Reply]]:
    """The last reply to each conversation, with its index, as it comes.

    One that was cut, or whose verdict cannot be read, is asked for again with another seed.
    """
    waiting = list(range(len(conversations)))
    for attempt in range(tries):
        again: list[int] = []
        with closing(model.chat_each([conversations[i] for i in waiting], seed=_seed(seed, attempt))) as replies:
            for place, said in replies:
                verdict = None if said.is_cut else read_verdict(said.text, allowed)
                if verdict is None and attempt + 1 < tries:
                    again.append(waiting[place])
                else:
                    yield waiting[place], _Reply(verdict, said.text)
        waiting = sorted(again)


def _is_reference(item: Item) -> bool:
    """Whether the answer is the reference to the letter: then it is asked about, however little it says."""
    return bool(item.reference.strip()) and item.reference == item.answer


def _seed(seed: int, attempt: int) -> int:
    """Far from that of any other call, since each request adds its place to it; 31 bits, as servers take them."""
    return int(hashlib.sha256(f"judge/{seed}/{attempt}".encode()).hexdigest()[:7], 16)


def _judgement(one: _Reply, other: _Reply) -> Judgement:
    verdicts = (one.verdict, other.verdict)
    if None in verdicts:
        return Judgement("no verdict", verdicts, other.text if other.verdict is None else one.text)
    if one.verdict != other.verdict:
        return Judgement("disagreement", verdicts)
    return Judgement("correct" if one.verdict == "correct" else "incorrect", verdicts)


def _pair_judgement(replies: Sequence[_Reply]) -> PairJudgement:
    votes: list[int] = []
    for position, reply in enumerate(replies):
        if reply.verdict is None:
            return PairJudgement((), reply.text)
        is_swapped = position >= VOTES_EACH_ORDER
        votes.append(-PREFERENCES[reply.verdict] if is_swapped else PREFERENCES[reply.verdict])
    return PairJudgement(tuple(votes))


def _sign(vote: int) -> int:
    return (vote > 0) - (vote < 0)


def _cut(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else f"{text[:_EXAMPLE_CHARACTERS]}..."
