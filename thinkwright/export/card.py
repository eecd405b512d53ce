"""The model card: what the model is, how it was made, what was measured and what it cannot do.

Its head is the YAML that the Hugging Face Hub reads; scores on data sets of the Hub stand in ``.eval_results/``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from thinkwright.chat.formats import ChatFormat
from thinkwright.config.suites import TEMPERATURE, TOP_P
from thinkwright.evaluation.estimators import Estimate
from thinkwright.export.measured import MeasuredRun, hub_name
from thinkwright.export.run_facts import RunFacts
from thinkwright.models.shipped import SHIPPED

_KINDS = {
    "pretrain": "pre-training",
    "rl": "reinforcement learning",
    "sft": "supervised fine-tuning",
    "rejection_sample": "rejection sampling of training rows",
    "reward_model": "a reward model from preferences",
    "distill": "on-policy distillation from a teacher",
    "?": "unknown",
}
_SHIPPED_LICENSE = "apache-2.0"


@dataclass(frozen=True)
class Card:
    """What a card is written of."""

    name: str
    library: str
    """``transformers`` or ``gguf``."""
    num_parameters: int
    architecture: str
    max_positions: int
    chat: ChatFormat
    facts: RunFacts
    license: str | None


def license_of(facts: RunFacts, given: str | None) -> str | None:
    """The one given; else that of a shipped base; a base from the Hub has its own, which is not known here."""
    if given is not None:
        return given
    return _SHIPPED_LICENSE if facts.base in SHIPPED else None


def languages_of(facts: RunFacts) -> tuple[str, ...]:
    """Those it was asked in."""
    return facts.languages or ("en",)


def hub_base(facts: RunFacts) -> str | None:
    """The Hub name of the model it was trained from; None if that is not on the Hub."""
    return facts.base if facts.base is not None and "/" in facts.base else None


def card_text(card: Card) -> str:
    """README.md."""
    parts = [
        f"---\n{yaml.safe_dump(_head(card), sort_keys=False, allow_unicode=True)}---",
        f"# {card.name}",
        _opening(card),
        _making(card.facts),
        _figures(card.facts),
        _use(card),
        _limits(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def evaluation_results(card: Card) -> dict[str, str]:
    """Text of ``.eval_results/NAME.yaml`` by file name, for each named data set that is on the Hub."""
    files: dict[str, str] = {}
    for measured in card.facts.measured:
        for name, estimate in measured.by_set.items():
            if (hub := hub_name(name)) is None:
                continue
            entry = {
                "dataset": {"id": hub, "task_id": name},
                "value": round(100 * estimate.mean, 2),
                "date": card.facts.ended or datetime.now(UTC).date().isoformat(),
                "notes": f"accuracy in percent, 95 % interval {_interval(estimate)}; {_how(measured)}",
            }
            files[f"{name}.yaml"] = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True)
    return files


def _head(card: Card) -> dict[str, Any]:
    is_trained = {stage.kind for stage in card.facts.stages}
    tags = ["reasoning", "thinkwright", *(["grpo", "r1"] if "rl" in is_trained else [])]
    head: dict[str, Any] = {
        "license": card.license or "other",
        "language": list(languages_of(card.facts)),
        "library_name": card.library,
        "pipeline_tag": "text-generation",
        "tags": tags,
    }
    if (base := hub_base(card.facts)) is not None:
        head["base_model"] = base
    sets = {name for measured in card.facts.measured for name in measured.by_set}
    if hubs := sorted(hub for name in sets if (hub := hub_name(name)) is not None):
        head["datasets"] = hubs
    if card.facts.measured:
        head["metrics"] = ["accuracy"]
    return head


def _opening(card: Card) -> str:
    thinks = "A language model that thinks before it answers" if card.chat.has_thought else "A language model"
    base = f", trained from {card.facts.base}" if card.facts.base else ""
    return (
        f"{thinks}: {card.num_parameters:,} parameters, {card.architecture} layout, contexts of up to "
        f"{card.max_positions:,} tokens{base}. Made with Thinkwright."
    )


def _making(facts: RunFacts) -> str:
    if not facts.stages:
        return ""
    lines = ["## How it was made", ""]
    lines += [
        f"{number}. {stage.name}: {_KINDS.get(stage.kind, stage.kind)}{_minutes(stage.seconds)}"
        for number, stage in enumerate(facts.stages, 1)
    ]
    lines.append("")
    if facts.command:
        lines.append(f"Command: `{facts.command}`")
    if facts.recipe_digest:
        lines.append(f"\nResolved recipe of the last stage (SHA-256, first 16 digits): `{facts.recipe_digest}`")
    if facts.data:
        lines.append(f"\nLearned from: {'; '.join(facts.data)}.")
    if facts.machine:
        hours = f", {facts.seconds / 3600:.2f} hours in all" if facts.seconds is not None else ""
        lines.append(f"\nMachine: {facts.machine}{hours}.")
    if facts.versions:
        lines.append(f"\nVersions: {facts.versions}.")
    return "\n".join(lines)


def _minutes(seconds: float | None) -> str:
    return f" ({seconds / 60:.1f} minutes)" if seconds is not None else ""


def _figures(facts: RunFacts) -> str:
    if not facts.measured:
        return "## What was measured\n\nNothing: no evaluation of this very model lies with it."
    lines = ["## What was measured", "", "| | right answers | 95 % interval | how |", "|---|---|---|---|"]
    for measured in facts.measured:
        lines.append(_row(measured.what, measured.accuracy, measured))
        parts = measured.by_set.items() if measured.what.startswith("all") else ()
        lines += [_row(f"- {name}", estimate, measured) for name, estimate in parts]
    last = facts.measured[-1]
    if last.further:
        further = ", ".join(f"{title} {100 * value:.1f} %" for title, value in last.further.items())
        lines += ["", f"Beside that ({last.what}): {further}."]
    return "\n".join(lines)


def _row(what: str, estimate: Estimate, measured: MeasuredRun) -> str:
    return f"| {what} | {100 * estimate.mean:.1f} % | {_interval(estimate)} | {_how(measured)} |"


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


def _how(measured: MeasuredRun) -> str:
    settings: Mapping[str, Any] = measured.settings
    each = measured.num_samples / measured.num_questions
    said = [f"n = {measured.num_questions} questions, {each:g} samples each"]
    if "temperature" in settings:
        said.append(f"temperature {settings['temperature']:g}")
    if "max_response_tokens" in settings:
        said.append(f"at most {settings['max_response_tokens']} tokens")
    return ", ".join(said)


def _use(card: Card) -> str:
    if card.chat.name == "own":
        return ""
    lines = [
        "## How to use it",
        "",
        f"Sample with temperature {TEMPERATURE} and top-p {TOP_P}, the defaults of this folder. Ask in one user turn, "
        "without a system prompt; the chat template puts the question as in training"
        + (" and drops earlier thoughts." if card.chat.has_thought else "."),
    ]
    if card.chat.has_thought:
        lines.append("`enable_thinking=false` gives the model a thought that is over at once.")
    if card.library == "transformers":
        lines += ["", *_EXAMPLE.split("\n")]
    return "\n".join(lines)


_EXAMPLE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER_OR_NAME")
model = AutoModelForCausalLM.from_pretrained("FOLDER_OR_NAME")
prompt = tokenizer.apply_chat_template(
    [{"role": "user", "content": "What is 12 + 7 - 3?"}], add_generation_prompt=True, return_tensors="pt"
)
reply = model.generate(**prompt, max_new_tokens=512)[0, prompt["input_ids"].shape[1] :]
print(tokenizer.parse_response(reply, prefix=prompt["input_ids"][0]))
```"""


def _limits(card: Card) -> str:
    lines = ["## Limits", ""]
    if card.facts.base in SHIPPED:
        lines.append(
            "- It began as a toy that knows the tiny world of generated questions and nothing else; figures above hold "
            "for questions of that kind."
        )
    if card.chat.name != "own":
        lines.append("- It was trained on single questions; conversations of several turns are put to it untrained.")
    lines += [
        "- A thought is what the model wrote before its answer; it need not be the reason for it.",
        "- The figures are for the sampling and the questions named there; other templates or samplings give others.",
        "- Nothing was measured on safety beyond what the table names.",
    ]
    if card.license is None:
        base = f" of {card.facts.base}" if card.facts.base else " of the model it was trained from"
        lines.append(f"- The license{base} applies, and of the data.")
    return "\n".join(lines)


def write_card(folder: Path, card: Card) -> None:
    """README.md and ``.eval_results/`` into a folder."""
    (folder / "README.md").write_text(card_text(card), encoding="utf-8")
    for name, text in evaluation_results(card).items():
        (folder / ".eval_results").mkdir(exist_ok=True)
        (folder / ".eval_results" / name).write_text(text, encoding="utf-8")
