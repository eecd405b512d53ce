"""Examines rows as training will meet them: a right and a wrong reply to each, written, tokenized, read and judged.

Every reply takes the path of a sampled one: the template writes it, the tokenizer encodes it, it is decoded as the
engine decodes, the template tells it apart, and the verifier judges what is left in a worker of the pool.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol

from thinkwright.chat.template import TEMPLATES
from thinkwright.rewards.pool import Job, Verdict
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.types import Prompt

CHUNK_ROWS = 256
MAX_SECOND_TRIES = 4
"""Of one chunk; where more cannot be graded, it is not for a moment's load."""
THOUGHTS = {
    "en": "Let me work this out one step after the other, and then check the result.",
    "zh": "让我一步一步地想，然后再检查一下结果。",  # noqa: RUF001
    "es": "Voy a resolver esto paso a paso y luego comprobaré el resultado.",
    "fr": "Je vais résoudre cela étape par étape, puis vérifier le résultat.",
    "de": "Ich löse das Schritt für Schritt und prüfe dann das Ergebnis.",
    "ru": "Я решу это шаг за шагом, а потом проверю результат.",  # noqa: RUF001
    "ja": "一つずつ順番に考えて、それから結果を確かめます。",
    "th": "ฉันจะคิดทีละขั้นตอน แล้วตรวจสอบผลลัพธ์อีกครั้ง",
    "sw": "Nitatatua swali hili hatua kwa hatua, kisha nitakagua jibu.",
    "bn": "আমি ধাপে ধাপে এটি সমাধান করব, তারপর ফলাফল যাচাই করব।",
    "te": "నేను దీన్ని దశలవారీగా పరిష్కరించి, తర్వాత ఫలితాన్ని సరిచూస్తాను.",
}
"""What a reply thinks, by language; it says something and gives nothing away."""

Fault = Literal["gold", "wrong", "format", "tokenizer"]


class Grader(Protocol):
    """The part of the worker pool that is needed here."""

    def grade(self, jobs: Sequence[Job]) -> list[Verdict]:
        """A verdict for each job, in order."""
        ...


@dataclass(frozen=True)
class Fitting:
    """What a reply must pass through."""

    tokenizer: Any
    end_ids: frozenset[int]
    max_tokens: int


@dataclass(frozen=True)
class Written:
    """A reply as the model would write it, and as it comes out of the tokenizer again."""

    text: str
    decoded: str
    num_tokens: int
    """With the end token."""
    holds_end: bool
    """A token of the reply itself would end it."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be learned from as it is."""

    prompt_id: str
    fault: Fault
    gold: str
    reply: str
    score: float | None
    reason: str


@dataclass(frozen=True)
class RowResult:
    """What was found about one row."""

    prompt: Prompt
    bad: tuple[BadRow, ...]
    has_reference: bool
    fits: bool
    """The right reply is within ``max_response_tokens``."""
    is_changed: bool
    """Encoding and decoding the right reply does not give it back."""


@dataclass(frozen=True)
class Examined:
    """The rows looked at, and how long judging them took."""

    results: tuple[RowResult, ...]
    num_verdicts: int
    seconds: float


def examine_rows(prompts: Sequence[Prompt], fitting: Fitting, grader: Grader, seconds: float) -> Examined:
    """Examine rows in their order until all are done or ``seconds`` have passed."""
    results: list[RowResult] = []
    num_verdicts, spent, deadline = 0, 0.0, time.monotonic() + seconds
    for chunk in _chunks(prompts):
        right = write_replies([(prompt, prompt.reference) for prompt in chunk], fitting)
        wrong_answers = [_wrong_answer(prompt) for prompt in chunk]
        wrong = write_replies([(p, answer or "") for p, answer in zip(chunk, wrong_answers, strict=True)], fitting)
        jobs = [_job(p, reply) for p, reply in zip([*chunk, *chunk], [*right, *wrong], strict=True)]
        start = time.monotonic()
        verdicts = _grade(jobs, grader)
        spent, num_verdicts = spent + time.monotonic() - start, num_verdicts + len({*jobs} - {None})
        half = len(chunk)
        for i, prompt in enumerate(chunk):
            bad = (
                *_faults_of_right(prompt, right[i], verdicts[i]),
                *_faults_of_wrong(prompt, wrong_answers[i], wrong[i], verdicts[half + i]),
            )
            is_changed, fits = right[i].decoded != right[i].text, right[i].num_tokens <= fitting.max_tokens
            results.append(RowResult(prompt, bad, bool(prompt.reference), fits, is_changed))
        if time.monotonic() > deadline:
            break
    return Examined(tuple(results), num_verdicts, spent)


def write_replies(answers: Sequence[tuple[Prompt, str]], fitting: Fitting) -> list[Written]:
    """The reply with each answer, encoded and decoded as the engine does."""
    texts = [
        TEMPLATES[prompt.template].write(THOUGHTS.get(prompt.language, THOUGHTS["en"]), answer)
        for prompt, answer in answers
    ]
    encoded: list[list[int]] = fitting.tokenizer(texts, add_special_tokens=False)["input_ids"]
    decoded = [
        fitting.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) for ids in encoded
    ]
    return [
        Written(text, back, len(ids) + 1, not fitting.end_ids.isdisjoint(ids))
        for text, back, ids in zip(texts, decoded, encoded, strict=True)
    ]


def _chunks(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    rest = iter(prompts)
    while chunk := list(islice(rest, CHUNK_ROWS)):
        yield chunk


def _wrong_answer(prompt: Prompt) -> str | None:
    """None if the verifier cannot make one of this gold."""
    try:
        return VERIFIERS[prompt.verifier].wrong_answer(prompt.gold)
    except Exception:
        return None


def _job(prompt: Prompt, reply: Written) -> Job | None:
    answer = TEMPLATES[prompt.template].split(reply.decoded).answer
    return None if answer is None else Job(prompt.verifier, answer, prompt.gold)


def _grade(jobs: Sequence[Job | None], grader: Grader) -> list[Verdict | None]:
    """The few that could not be graded get a second try on their own, so that a busy machine makes no row bad."""
    given = list(dict.fromkeys(job for job in jobs if job is not None))
    verdicts = dict(zip(given, grader.grade(given), strict=True))
    ungraded = [job for job, verdict in verdicts.items() if verdict.outcome in ("timeout", "failed")]
    if len(ungraded) <= MAX_SECOND_TRIES:
        verdicts |= {job: grader.grade([job])[0] for job in ungraded}
    return [None if job is None else verdicts[job] for job in jobs]


def _faults_of_right(prompt: Prompt, reply: Written, verdict: Verdict | None) -> Iterator[BadRow]:
    if not prompt.reference:
        return
    template = TEMPLATES[prompt.template]
    if not template.split(reply.decoded).is_well_formed:
        if template.split(reply.text).is_well_formed:
            yield _bad(prompt, "tokenizer", reply, None, "the tokenizer does not give the template's marks back")
        else:
            yield _bad(prompt, "format", reply, 0.0, f"not well formed by its own template {prompt.template}")
    if reply.holds_end:
        yield _bad(prompt, "tokenizer", reply, None, "the reply holds an end token and would be cut there")
    if verdict is None:
        yield _bad(prompt, "gold", reply, 0.0, f"the template {prompt.template} finds no answer in the reply")
    elif verdict.score != 1.0:
        yield _bad(prompt, "gold", reply, verdict.score, _reason(prompt, reply, verdict))


def _faults_of_wrong(prompt: Prompt, answer: str | None, reply: Written, verdict: Verdict | None) -> Iterator[BadRow]:
    if answer is None:
        yield _bad(prompt, "wrong", reply, None, f"the verifier {prompt.verifier} can make no wrong answer of the gold")
    elif verdict is not None and verdict.score:
        yield _bad(prompt, "wrong", reply, verdict.score, "a wrong answer earns marks")


def _reason(prompt: Prompt, reply: Written, verdict: Verdict) -> str:
    if verdict.outcome != "graded":
        return f"{verdict.outcome}: {verdict.detail or 'no reason given'}"
    if reply.decoded != reply.text:
        return f"after the tokenizer the reply reads {reply.decoded!r}"
    return f"{prompt.verifier} does not accept {prompt.reference!r}" + (
        f" ({verdict.detail})" if verdict.detail else ""
    )


def _bad(prompt: Prompt, fault: Fault, reply: Written, score: float | None, reason: str) -> BadRow:
    return BadRow(prompt.prompt_id, fault, prompt.gold, reply.decoded, score, reason)
