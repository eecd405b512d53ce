"""The same held-out questions answered before and after training, side by side."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from thinkwright.report.series import Row, Run
from thinkwright.report.text import escape, model_text

NUM_SHOWN = 16
NUM_STILL_WRONG = 3
FIXED, KEPT, LOST, STILL_WRONG = "became right", "stayed right", "became wrong", "stayed wrong"
_PREFERENCE = (FIXED, KEPT, LOST, STILL_WRONG)


@dataclass(frozen=True)
class Pair:
    """One question with the first response to it before and after."""

    before: Row
    after: Row

    @property
    def change(self) -> str:
        """One of the four ways from right or wrong to right or wrong."""
        if self.after.get("is_correct"):
            return KEPT if self.before.get("is_correct") else FIXED
        return LOST if self.before.get("is_correct") else STILL_WRONG


def pairs_of(before: Iterable[Row], after: Iterable[Row]) -> list[Pair]:
    """The first sample of each question in both evaluations, in the order of the first."""
    first_after = _first_by_prompt(after)
    return [
        Pair(sample, first_after[prompt_id])
        for prompt_id, sample in _first_by_prompt(before).items()
        if prompt_id in first_after
    ]


def choose(pairs: list[Pair], count: int = NUM_SHOWN) -> list[Pair]:
    """Pairs to show: families in turn, those that became right first, and always some that are still or newly wrong."""
    drawn = Random(0).sample(pairs, len(pairs))
    kept_free = _in_turn([p for p in drawn if p.change == STILL_WRONG])[:NUM_STILL_WRONG]
    kept_free += _in_turn([p for p in drawn if p.change == LOST])[:1]
    others = [pair for pair in drawn if pair not in kept_free]
    chosen = _in_turn(others)[: max(0, count - len(kept_free))] + kept_free[:count]
    return sorted(chosen, key=lambda pair: _PREFERENCE.index(pair.change))


def examples_section(run: Run) -> str:
    """How questions changed, counted, and some of them in full."""
    if len(run.evaluations) < 2:
        return "<p>There are not two held-out evaluations, so there is nothing to compare.</p>"
    first, last = run.evaluations[0], run.evaluations[-1]
    pairs = pairs_of(first.get("samples") or [], last.get("samples") or [])
    if not pairs:
        return "<p>The evaluations hold no samples of the same questions.</p>"
    counts = Counter(pair.change for pair in pairs)
    told = "".join(f'<li class="{_slug(kind)}"><b>{counts[kind]}</b> {kind}</li>' for kind in _PREFERENCE)
    chosen = choose(pairs)
    cards = "\n".join(_card(pair, first["step"], last["step"]) for pair in chosen)
    return (
        f"<p>Of {len(pairs)} held-out questions, counting the first response to each, so many:</p>"
        f'<ul class="counts">{told}</ul>'
        f"<p>The {len(chosen)} below were drawn with a preference for questions that became right, kinds in turn, and "
        "with some that did not; the counts above tell how common each is. The text is what the model wrote.</p>"
        f"{cards}"
    )


def _first_by_prompt(samples: Iterable[Row]) -> dict[Any, Row]:
    found: dict[Any, Row] = {}
    for sample in samples:
        found.setdefault(sample.get("prompt_id"), sample)
    return found


def _in_turn(pairs: list[Pair]) -> list[Pair]:
    """One pair of each family after the other, each family's best first."""
    by_family: dict[str, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: _PREFERENCE.index(pair.change)):
        by_family[str(pair.before.get("family"))].append(pair)
    longest = max(map(len, by_family.values()), default=0)
    families = sorted(by_family)
    return [by_family[name][turn] for turn in range(longest) for name in families if turn < len(by_family[name])]


def _card(pair: Pair, first_step: int, last_step: int) -> str:
    sample = pair.before
    tags = f"{str(sample.get('family', '')).replace('_', ' ')}, level {sample.get('level', '')}"
    return (
        f'<article class="example {_slug(pair.change)}"><header><p class="tags">{escape(tags)}'
        f'<span class="change">{pair.change}</span></p>'
        f'<p class="question"{_lang(sample)}>{model_text(str(sample.get("question", "")))}</p>'
        f'<p class="gold">{_gold(str(sample.get("gold", "")))}</p></header>'
        f'<div class="pair">{_reply(pair.before, "Before", first_step)}'
        f"{_reply(pair.after, 'After', last_step)}</div></article>"
    )


def _reply(sample: Row, when: str, step: int) -> str:
    verdict = "right" if sample.get("is_correct") else "wrong"
    length = f"{sample.get('response_tokens', '?')} tokens"
    if sample.get("finish_reason") == "length":
        length += ", cut off at the limit"
    thought = _block(sample, "thought", "Nothing.")
    answer = _block(sample, "answer", "No answer where one is looked for: after a closed thought, between answer tags.")
    return (
        f'<section class="reply"><h4>{when} <small>step {escape(step)}, {escape(length)}</small>'
        f'<span class="verdict {verdict}">{verdict}</span></h4>'
        f"<h5>Thought</h5>{thought}<h5>Answer</h5>{answer}{_exact_text(sample)}</section>"
    )


def _block(sample: Row, part: str, absence: str) -> str:
    """Thought or answer as the model wrote it, or what its absence means."""
    text = str(sample.get(part) or "")
    if not text:
        return f'<p class="absent">{absence}</p>'
    return f'<pre class="{part}"{_lang(sample)}>{model_text(text)}</pre>'


def _exact_text(sample: Row) -> str:
    """The response with its tags, where thought and answer do not already say all of it."""
    text = str(sample.get("text") or "")
    if sample.get("is_well_formed") or text.strip() == str(sample.get("thought") or "").strip():
        return ""
    shown = f"<pre{_lang(sample)}>{model_text(text)}</pre>"
    return f"<details><summary>Form not kept; the exact text</summary>{shown}</details>"


def _gold(gold: str) -> str:
    """The right answer; where a program judges by more than one value, those values."""
    try:
        value = json.loads(gold)
    except ValueError:
        value = gold
    if isinstance(value, dict):
        return "Judged by " + escape("; ".join(f"{name}: {_plain(item)}" for name, item in value.items()))
    if isinstance(value, list):
        return "Judged by hidden tests " + escape(", ".join(_plain(item) for item in value))
    return f"Right answer: <b>{model_text(gold)}</b>"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(_plain(item) for item in value) + ")"
    return str(value)


def _lang(sample: Row) -> str:
    return f' lang="{escape(sample.get("language", ""))}"'


def _slug(change: str) -> str:
    return change.replace(" ", "-")
