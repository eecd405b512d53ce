"""BIG-Bench Hard (arXiv:2210.09261): 27 kinds of reasoning questions with short answers, a tenth held out."""

import json
import re

from thinkwright.tasks.example import Example, NamedSet, Row, Source, split_by_digest

TASKS = (
    "boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa", "dyck_languages",
    "formal_fallacies", "geometric_shapes", "hyperbaton", "logical_deduction_five_objects",
    "logical_deduction_seven_objects", "logical_deduction_three_objects", "movie_recommendation",
    "multistep_arithmetic_two", "navigate", "object_counting", "penguins_in_a_table",
    "reasoning_about_colored_objects", "ruin_names", "salient_translation_error_detection", "snarks",
    "sports_understanding", "temporal_sequences", "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects", "tracking_shuffled_objects_three_objects", "web_of_lies",
    "word_sorting",
)  # fmt: skip
_CHOICE = re.compile(r"^\(([A-Z])\) ?(.*)$", re.MULTILINE)
_ENDINGS = {
    "dyck_languages": "Answer with the closing brackets that are missing, and nothing else.",
    "word_sorting": "Answer with the sorted words, separated by spaces.",
    "web_of_lies": "Answer yes or no.",
    "sports_understanding": "Answer yes or no.",
    "boolean_expressions": "Answer True or False.",
}


def _example(row: Row) -> Example:
    task, text, target = row["task"], row["input"].strip(), row["target"].strip()
    choices = dict(_CHOICE.findall(text))
    letter = target.strip("()")
    is_choice = target == f"({letter})" and letter in choices
    ending = "Answer with the letter of the right choice." if is_choice else _ENDINGS.get(task, "")
    return Example(
        question=f"{text}\n{ending}".strip(),
        verifier="choice" if is_choice else "exact",
        gold=json.dumps({"answer": letter, "choices": list(choices.values())}) if is_choice else target,
        reference=letter if is_choice else target,
        family=f"bbh/{task}",
        core=text,
    )


_PARTS = [split_by_digest(Source("bbh/bbh_27_tasks.jsonl.gz"), "input")] + [
    split_by_digest(Source("", f"lukaemon/bbh:{task}:test", constants={"task": task}), "input") for task in TASKS
]
SET = NamedSet(
    _example,
    training=tuple(source for training, _ in _PARTS for source in training),
    held_out=tuple(source for _, held_out in _PARTS for source in held_out),
    is_made=True,
)
