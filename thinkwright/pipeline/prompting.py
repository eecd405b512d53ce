"""How rejection sampling brings a model to think at length that was not trained to (DeepSeek-R1 v1, section 2.3.1).

Only what the model reads is changed: the prompt's text, or the words its thought begins with. The question stays plain,
and so does the row that is made of it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

from thinkwright.characters import check_characters
from thinkwright.chat.template import NEXT_TURNS, TAGS, TEMPLATES
from thinkwright.config.prompting import FewShot, Prompting
from thinkwright.errors import DataError
from thinkwright.pipeline.record import joint_digest, task_digest
from thinkwright.rewards.language import detect_language
from thinkwright.tasks.decontamination import identity
from thinkwright.tasks.example import Row
from thinkwright.tasks.read import place_of, read_rows
from thinkwright.tasks.task import Task
from thinkwright.types import Prompt, Rollout

_KEY = "prompting.examples"


@dataclass(frozen=True)
class Shown:
    """A worked example."""

    place: str
    """File and row."""
    question: str
    thought: str
    answer: str
    language: str

    @cached_property
    def identity(self) -> str:
        """What another text of the same question shares with it."""
        return identity(self.question, is_made=False)


@dataclass(frozen=True)
class AskedTeacher:
    """A prompt as it is put to the model."""

    prompt: Prompt
    forced_start: str = ""
    """What every completion begins with."""
    lineage: dict[str, Any] | None = None
    """What was done, for the rows that come of it; None: nothing."""


def read_examples(prompting: Prompting | None) -> list[Shown]:
    """The examples of few-shot prompting; none for other styles. Raises DataError for a row that cannot be shown."""
    if not isinstance(prompting, FewShot):
        return []
    found = [
        _shown(row, place_of(path, number)) for path in prompting.examples for number, row in read_rows(path, _KEY)
    ]
    num_different = len({example.identity for example in found})
    if num_different <= prompting.count:
        raise DataError(
            f"{', '.join(prompting.examples)}: {num_different} different questions, and prompting.count = "
            f"{prompting.count} are to be shown beside one that may be among them; give {prompting.count + 1} or more, "
            "or lower it"
        )
    return found


def ask(prompt: Prompt, prompting: Prompting | None, examples: Sequence[Shown], seed: int) -> AskedTeacher:
    """The prompt in the style of the recipe. Examples are drawn by seed and question."""
    template = TEMPLATES[prompt.template]
    if prompting is None:
        return AskedTeacher(prompt)
    if isinstance(prompting, FewShot):
        chosen = _choose(prompt, examples, prompting.count, seed)
        text = template.few_shot_prompt([(e.question, e.thought, e.answer) for e in chosen], prompt.question)
        lineage = {"style": "few_shot", "examples": [example.place for example in chosen]}
        return AskedTeacher(replace(prompt, text=text), lineage=lineage)
    instruction = prompting.instruction.get(prompt.language, "")
    opening = prompting.opening.get(prompt.language, "")
    text = template.prompt(f"{instruction}\n{prompt.question}") if instruction else prompt.text
    lineage = {"style": "direct", "instruction": instruction, "opening": opening}
    return AskedTeacher(replace(prompt, text=text), template.thought_start + opening if opening else "", lineage)


def stop_texts(prompting: Prompting | None) -> tuple[str, ...]:
    """Where a completion has ended: after worked examples a base model goes on to write the next question."""
    return NEXT_TURNS if isinstance(prompting, FewShot) else ()


def without_next_turn(rollout: Rollout, prompting: Prompting | None) -> Rollout:
    """The rollout without the start of the next question in its text."""
    end = min((at for stop in stop_texts(prompting) if (at := rollout.text.find(stop)) >= 0), default=None)
    return rollout if end is None else replace(rollout, text=rollout.text[:end])


def digest_of(task: Task, examples: Sequence[Shown], extra: Sequence[Row]) -> str:
    """Of the task's rows, of all that is shown beside them, and of the rows that are mixed in."""
    shown = json.dumps([(example.question, example.thought, example.answer) for example in examples])
    return joint_digest([task_digest(task), shown, json.dumps(extra)])


def _choose(prompt: Prompt, examples: Sequence[Shown], count: int, seed: int) -> list[Shown]:
    asked = identity(prompt.question, is_made=False)
    others = [example for example in examples if example.identity != asked]
    Random(f"few-shot/{seed}/{prompt.question}").shuffle(others)
    others.sort(key=lambda example: example.language != prompt.language)
    different: dict[str, Shown] = {}
    for example in others:
        different.setdefault(example.identity, example)
    return list(different.values())[:count]


def _shown(row: Row, place: str) -> Shown:
    texts = [row.get(name) for name in ("question", "thought", "answer")]
    for name, text in zip(("question", "thought", "answer"), texts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{place}: {name} is no text; write question, thought and answer in every row of {_KEY}")
        check_characters(text, place, name)
        if name != "question" and (tag := next((tag for tag in TAGS if tag in text), None)):
            raise DataError(f"{place}: {name} holds {tag}, which the template adds; take it out")
    question, thought, answer = map(str, texts)
    language = row.get("language")
    return Shown(place, question, thought, answer, language if isinstance(language, str) else detect_language(question))
