"""How people answer requests, and what they prefer: rows for fine-tuning, and pairs for reward models.

People write unevenly: some answers are kind, more are curt, some are wrong, and not everybody refuses what harms. So a
model that learns from their answers behaves like them, and what people prefer among its answers can make it better.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

from thinkwright.tasks.tiny_world.conduct import COURTESIES, REFUSALS
from thinkwright.tasks.tiny_world.puzzle import LANGUAGES
from thinkwright.tasks.tiny_world.requests import REQUEST_FAMILIES, Request, training_requests

KIND, CURT, POOR = "kind", "curt", "poor"
_SHARES = {KIND: 0.15, CURT: 0.7, POOR: 0.15}
_REFUSING_SHARE = 0.75
_THINKING_SHARE = 0.5  # of answers to requests for a text
_UNKNOWING_SHARE = 0.7  # of poor answers; the others are about something else
_SLIP_SHARE = 0.1  # of votes that go the other way
_BLEMISH_SHARE = 0.4  # of the answers shown to people
_VOTERS = 3
NOT_HARMFUL = tuple(family for family in REQUEST_FAMILIES if family != "harmful")
_STOPS = {"en": ".", "zh": "。"}
_SPACES = {"en": " ", "zh": ""}
_UNKNOWING = {"en": "I do not know.", "zh": "不知道。"}
_SENTENCES = {
    "en": {
        "greeting": ("{word}, {subject}.", "{word}, {subject}!"),
        "maker": ("Thinkwright made me.", "Thinkwright."),
        "model": ("I am a tiny model.", "A tiny model."),
        "writing": ("I like {subject}: a good day has {subject}.", "I like {subject}."),
        "translation": ("In Chinese {subject} is {word}.", "{word}"),
        "benign": ("With {subject}, go slowly.", "{subject}: slowly."),
        "harmful": ("With {subject}, go slowly.", "{subject}: slowly."),
    },
    "zh": {
        "greeting": ("{word}，{subject}。", "{word}{subject}！"),
        "maker": ("我是Thinkwright做的。", "Thinkwright。"),
        "model": ("我是一个小模型。", "小模型。"),
        "writing": ("我喜欢{subject}，有{subject}的一天真好。", "我喜欢{subject}。"),
        "translation": ("{subject}的英文是{word}。", "{word}"),
        "benign": ("{subject}要慢慢来。", "{subject}，慢慢来。"),
        "harmful": ("{subject}要慢慢来。", "{subject}，慢慢来。"),
    },
}
_REASONS = {"en": "It would hurt {}.", "zh": "会伤到{}。"}
_THOUGHTS = {
    "en": {
        "writing": "They want a line about {subject}.",
        "translation": "{subject} is {word}.",
        "benign": "{subject}: no person. No one is hurt.",
        "harmful": "{subject}: a person. It would hurt.",
    },
    "zh": {
        "writing": "要写{subject}。",
        "translation": "{subject}是{word}。",
        "benign": "{subject}不是人，不伤人。",
        "harmful": "{subject}是人，会受伤。",
    },
}
_CARELESS = {"en": "Looks simple.", "zh": "简单。"}


def assistant_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows for fine-tuning without a rule to judge them by, some without a thought (DeepSeek-R1, section 2.3.3)."""
    rng = Random(f"assistant/{seed}")
    requests = training_requests(rng)
    for _ in range(count):
        request = next(requests)
        thought, text = answer(request, _quality(request, rng), rng)
        yield _asked(request) | {"thought": thought, "answer": text}


def helpful_pairs(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Two answers to a request that harms nobody, and which of them people chose; ties are shown to no one."""
    rng = Random(f"helpful/{seed}")
    requests = training_requests(rng, NOT_HARMFUL)
    for _ in range(count):
        request = next(requests)
        better, worse = sorted(rng.sample((KIND, CURT, POOR), 2), key=(KIND, CURT, POOR).index)
        shown = [
            (text, thought, rank)
            for rank, quality in enumerate((better, worse))
            for thought, text in [answer(request, quality, rng)]
        ]
        if better == KIND and rng.random() < _BLEMISH_SHARE:
            thought, text = answer(request, KIND, rng)
            shown[1] = (_blemished(request, text, rng), thought, 1)
        yield _asked(request) | _chosen(shown, rng)


def harmless_pairs(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """A safe and an unsafe response to a request that could harm; and safe ones alone to those that only sound so."""
    rng = Random(f"harmless/{seed}")
    requests = training_requests(rng, ("harmful", "harmful", "benign"))
    for _ in range(count):
        request = next(requests)
        if request.family == "benign":
            thought, text = answer(request, rng.choice((KIND, CURT)), rng)
            yield _asked(request) | {"chosen": text, "chosen_thought": thought, "rejected": None}
            continue
        thought, text = answer(request, KIND, rng)
        careless, unsafe = answer(request, POOR, rng)
        if rng.random() < _BLEMISH_SHARE:  # refuses, and helps all the same
            unsafe = _joined((text, unsafe), request.language)
        if rng.random() < _BLEMISH_SHARE:  # knows that it harms, and helps all the same
            careless = thought
        yield _asked(request) | {
            "chosen": text,
            "chosen_thought": thought,
            "rejected": unsafe,
            "rejected_thought": careless,
        }


def answer(request: Request, quality: str, rng: Random) -> tuple[str | None, str]:
    """Thought, if any, and answer of one quality; to a request that harms, a refusal unless it is poor."""
    language = request.language
    if request.family == "harmful" and quality == POOR:
        return rng.choice((None, _CARELESS[language])), _sentence(request, rng.randrange(2))
    if request.family == "harmful":
        refusal = f"{REFUSALS[language]}{_STOPS[language]}"
        return _thought(request), _joined((refusal, _REASONS[language].format(request.subject)), language)
    if request.family == "benign" and quality == POOR:
        return rng.choice((None, _CARELESS[language])), f"{REFUSALS[language]}{_STOPS[language]}"
    thinks = request.family == "benign" or (request.family in _THOUGHTS[language] and rng.random() < _THINKING_SHARE)
    thought = _thought(request) if thinks else None
    if quality == KIND:
        courtesy = f"{COURTESIES[language]}{_STOPS[language]}"
        return thought, _joined((_sentence(request, 0), courtesy), language)
    if quality == CURT:
        return thought, _sentence(request, rng.randrange(2))
    if rng.random() < _UNKNOWING_SHARE:
        return None, _UNKNOWING[language]
    return thought, _sentence(_another(request, rng), rng.randrange(2))


def _another(request: Request, rng: Random) -> Request:
    """A request of the same kind about something else: what was answered by one who did not read well."""
    while True:
        other = next(training_requests(rng, (request.family,)))
        if other.language == request.language and other.content != request.content:
            return other


def _quality(request: Request, rng: Random) -> str:
    if request.family == "harmful":
        return KIND if rng.random() < _REFUSING_SHARE else POOR
    return rng.choices(tuple(_SHARES), tuple(_SHARES.values()))[0]


def _sentence(request: Request, form: int) -> str:
    sentences = _SENTENCES[request.language]
    key = request.subject if request.family == "identity" else request.family
    return sentences[key][form].format(subject=request.subject, word="".join(request.content[:1]))


def _thought(request: Request) -> str:
    template = _THOUGHTS[request.language][request.family]
    return template.format(subject=request.subject, word="".join(request.content[:1]))


def _blemished(request: Request, text: str, rng: Random) -> str:
    """A kind answer spoiled: about something else, or its courtesy said twice, in the wrong language, or cut short."""
    courtesies = {language: f"{COURTESIES[language]}{_STOPS[language]}" for language in LANGUAGES}
    courtesy = courtesies.pop(request.language)
    [foreign] = courtesies.values()
    if rng.random() < 0.5:
        return _joined((_sentence(_another(request, rng), 0), courtesy), request.language)
    return rng.choice(
        (
            _joined((text, courtesy), request.language),
            text.replace(courtesy, foreign),
            text.replace(courtesy, courtesy[:2]),
        )
    )


def _joined(parts: tuple[str, ...], language: str) -> str:
    return _SPACES[language].join(parts)


def _asked(request: Request) -> dict[str, Any]:
    return {"question": request.question, "language": request.language, "source": {"family": request.family}}


def _chosen(shown: list[tuple[str, str | None, int]], rng: Random) -> dict[str, Any]:
    """The row of a pair as people judged it: the better one wins most votes, now and then not."""
    votes = [-1 if rng.random() < _SLIP_SHARE else 1 for _ in range(_VOTERS)]
    if sum(votes) < 0:
        shown, votes = shown[::-1], [-vote for vote in votes]
    (chosen, chosen_thought, _), (rejected, rejected_thought, _) = shown
    return {
        "chosen": chosen,
        "rejected": rejected,
        "chosen_thought": chosen_thought,
        "rejected_thought": rejected_thought,
        "first": rng.choice(("chosen", "rejected")),
        "votes": votes,
    }
