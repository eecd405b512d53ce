"""How hard is each training prompt for a model? Its pass rate over a few samples, in a file that can be gone on with.

A task's filters (``task.filters.pass_rates``) leave out what the model always or never solves: such prompts cost
rollouts and teach nothing (DAPO, arXiv:2503.14476).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from thinkwright.errors import DataError
from thinkwright.models.policy import Policy
from thinkwright.rewards.score import Scorer
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.run_folder import append_jsonl, write_bytes_atomic
from thinkwright.tasks.example import question_digest
from thinkwright.tasks.exclusion import row_id
from thinkwright.types import Prompt, RolloutGroup

STEP = -2
"""Part of the sampling seed; neither a training step nor an evaluation has it."""
PROMPTS_PER_CALL = 64
_START_OF_ROW = b'{"prompt_id"'
_SETTINGS = {
    "model": "model", "group_size": "--samples", "template": "template", "temperature": "rollout.temperature",
    "max_tokens": "rollout.max_response_tokens",
}  # fmt: skip
"""What a row holds of how it was measured, and what the recipe and the command line call it."""


def measure_difficulty(
    engine: RolloutEngine,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: SamplingSettings,
    score: Scorer,
    model: str,
    out: Path,
) -> Iterator[int]:
    """Sample each prompt ``settings.group_size`` times and append its row to ``out``; yields how many are done so far.

    A row is ``prompt_id``, ``question_digest`` (the id alone does not say of which file), ``pass_rate`` (mean
    accuracy), ``samples`` (those that could be graded), ``mean_tokens``, and of what: ``model``, ``group_size``,
    ``template``, ``temperature``, ``max_tokens``. Prompts that ``out`` has already are not sampled again. Raises
    DataError if it holds something else, or what was measured otherwise.
    """
    measured = {
        "model": model,
        "group_size": settings.group_size,
        "template": prompts[0].template,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }
    done = _known(out, measured)
    waiting = [prompt for prompt in prompts if _key(prompt) not in done]
    count = len(prompts) - len(waiting)
    yield count
    for start in range(0, len(waiting), PROMPTS_PER_CALL):
        batch = waiting[start : start + PROMPTS_PER_CALL]
        encoded = [policy.encode(p.text) for p in batch]
        requests = [RolloutRequest(p.prompt_id, ids) for p, ids in zip(batch, encoded, strict=True)]
        rollouts = engine.generate(requests, settings)
        for group in score(list(zip(batch, encoded, rollouts, strict=True))):
            if row := _row(group):
                append_jsonl(out, row | measured)
            count += 1
            yield count


def _key(prompt: Prompt) -> tuple[str, str]:
    return row_id(prompt.prompt_id), question_digest(prompt.question)


def _row(group: RolloutGroup) -> dict[str, Any] | None:
    """None if no sample could be graded: then the prompt's difficulty is not known."""
    marks = [member.scores["accuracy"] for member in group.members if "accuracy" in member.scores]
    if not marks:
        return None
    prompt_id, digest = _key(group.prompt)
    return {
        "prompt_id": prompt_id,
        "question_digest": digest,
        "pass_rate": fmean(marks),
        "samples": len(marks),
        "mean_tokens": fmean(len(member.rollout.token_ids) for member in group.members),
    }


def _known(out: Path, measured: dict[str, Any]) -> set[tuple[str, str]]:
    """Row and question of the rows that are there; a last line that a crash cut off is taken away."""
    try:
        data = out.read_bytes()
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise DataError(f"{out}: cannot be read ({error.strerror}); give a file as --out") from error
    whole = data[: data.rfind(b"\n") + 1]
    known = {_known_row(f"{out}:{number}", line, measured) for number, line in enumerate(whole.splitlines(), 1)}
    if whole != data:
        if not known and not data.startswith(_START_OF_ROW):
            raise _foreign(f"{out}:1")
        write_bytes_atomic(out, whole)
    return known


def _known_row(place: str, line: bytes, measured: dict[str, Any]) -> tuple[str, str]:
    try:
        row = json.loads(line)
        known = row["prompt_id"], row["question_digest"]
        others = {name: row[name] for name, value in measured.items() if row[name] != value}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _foreign(place) from error
    if others:
        differences = " and ".join(
            f"{_SETTINGS[name]} = {value}, not {measured[name]}" for name, value in others.items()
        )
        raise DataError(f"{place}: measured with {differences}; give another --out, or the same settings")
    return known


def _foreign(place: str) -> DataError:
    return DataError(f"{place}: not a row of `thinkwright difficulty`; give another --out")
