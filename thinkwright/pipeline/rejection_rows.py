"""What rejection sampling writes: rows with their lineage, mixed with others, and the data set's card."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from thinkwright.characters import check_characters
from thinkwright.config.rejection import Extra, RejectionRecipe
from thinkwright.errors import DataError
from thinkwright.pipeline.sift import Kept
from thinkwright.rewards.language import detect_language
from thinkwright.run_folder import write_bytes_atomic
from thinkwright.tasks.example import Row
from thinkwright.tasks.read import place_of, read_rows
from thinkwright.tasks.tiny_world import rewriter

EXAMPLES_FILE = "examples.jsonl"
KEPT_FILE = "kept.jsonl"
_KEY = "extra.data"


def read_extra(extra: Extra | None) -> list[dict[str, Any]]:
    """The rows to be mixed in, with where they are from. Raises DataError for a row that cannot be learned from, and
    for a file without rows."""
    if extra is None:
        return []
    rows: list[dict[str, Any]] = []
    for path in extra.data:
        found = [_extra_row(row, path, number) for number, row in read_rows(path, _KEY)]
        if not found:
            raise DataError(
                f"{path}: holds no row; give rows with question, thought and answer, or take it out of {_KEY}"
            )
        rows += found
    return rows


def example_of(row: Kept, recipe: RejectionRecipe, step: int, prompting: dict[str, Any] | None) -> Row | None:
    """The row to learn from, with where it comes from; None if rewriting leaves nothing."""
    prompt, thought, answer = row.prompt, row.thought, row.answer
    if recipe.rewrite == "tiny_world":
        rewritten = rewriter.rewrite(thought, prompt.language)
        if rewritten is None:
            return None
        thought, answer = rewritten, rewriter.summary(answer, prompt.language)
    source: dict[str, Any] = {
        "model": recipe.model,
        "prompt_id": prompt.prompt_id,
        "family": prompt.family,
        "seed": recipe.seed,
        "step": step,
        "member": row.position,
        "tokens": len(row.member.rollout.token_ids),
        "scores": row.member.scores,
        "rewrite": recipe.rewrite,
    }
    if prompting is not None:
        source["prompting"] = prompting
    if recipe.judge is not None:
        source["judge"] = {"model": recipe.judge.name, "verdicts": list(row.verdicts)}
    if recipe.refiner is not None:
        source["refiner"] = recipe.refiner.name
    question = {"question": prompt.question, "thought": thought or None, "answer": answer, "language": prompt.language}
    return question | {"source": source}


def write_examples(recipe: RejectionRecipe, folder: Path, extra: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``examples.jsonl``, shuffled, and its card; gives back the counts."""
    kept = [json.loads(line) for line in _lines(folder / KEPT_FILE)]
    for row in kept:
        row.pop("step")
    different = list({(row["question"], row["thought"], row["answer"]): row for row in reversed(kept)}.values())[::-1]
    rows = _capped(different, recipe.keep.per_prompt)
    rng = Random(f"examples/{recipe.seed}")
    mixed = list(extra)
    rng.shuffle(mixed)
    if recipe.extra is not None:
        mixed = mixed[: math.ceil(len(rows) * recipe.extra.share / (1 - recipe.extra.share))]
    both = [*rows, *mixed]
    rng.shuffle(both)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in both)
    write_bytes_atomic(folder / EXAMPLES_FILE, lines.encode())
    counts = _counts(folder, rows, mixed)
    across = {
        "the same as in another round": len(kept) - len(different),
        "over the cap of all rounds": len(different) - len(rows),
    }
    counts["dropped"] |= {reason: count for reason, count in across.items() if count}
    write_bytes_atomic(folder / "README.md", _card(recipe, counts).encode())
    return counts


def _capped(rows: Sequence[Row], per_prompt: int) -> list[Row]:
    """Of each question those with a thought first, then the shortest, in the order they stood in."""
    by_question: dict[str, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda i: (rows[i]["thought"] is None, rows[i]["source"]["tokens"], i)):
        by_question.setdefault(rows[place]["question"], []).append(place)
    return [rows[place] for place in sorted(p for places in by_question.values() for p in places[:per_prompt])]


def _extra_row(row: Row, path: str, number: int) -> Row:
    """What is learned from of a row, and where it stood; its own ``source`` is kept within that."""
    place = place_of(path, number)
    question, answer = (_text(row, name, place) for name in ("question", "answer"))
    thought = None if row.get("thought") is None else _text(row, "thought", place)
    language = detect_language(question) if row.get("language") is None else _text(row, "language", place)
    source = {"file": path, "row": number} | ({} if row.get("source") is None else {"source": row["source"]})
    return {"question": question, "thought": thought, "answer": answer, "language": language, "source": source}


def _text(row: Row, name: str, place: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"{place}: {name} is no text; write question, thought (or null) and answer in every row of {_KEY}"
        )
    check_characters(text, place, name)
    return text


def _counts(folder: Path, rows: Sequence[dict[str, Any]], mixed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    dropped: Counter[str] = Counter()
    for line in _lines(folder / "metrics.jsonl"):
        row = json.loads(line)
        dropped.update({key.partition("/")[2]: int(row[key]) for key in row if key.startswith("dropped/")})
        dropped["sampled"] += int(row["sample/completions"])
    sampled = dropped.pop("sampled", 0)
    return {
        "sampled": sampled,
        "examples": len(rows),
        "mixed_in": len(mixed),
        "kept_share": len(rows) / max(1, sampled),
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "examples_by_family": dict(Counter(row["source"]["family"] for row in rows)),
        "examples_by_language": dict(Counter(row["language"] for row in rows)),
    }


def _card(recipe: RejectionRecipe, counts: dict[str, Any]) -> str:
    """The data set's README: what it is, where it comes from, what was dropped."""
    tables = "\n\n".join(
        _table(name, counts[of])
        for name, of in (("family", "examples_by_family"), ("language", "examples_by_language"), ("dropped", "dropped"))
    )
    return f"""# Rows for supervised fine-tuning

`{EXAMPLES_FILE}`: {counts["examples"]:,} completions of `{recipe.model}` that were right and readable, of
{counts["sampled"]:,} sampled (seed {recipe.seed}, temperature {recipe.rollout.temperature:g},
{recipe.rollout.group_size} a prompt, template {recipe.template}), and {counts["mixed_in"]:,} rows mixed in. Each row
has `question`, `thought`, `answer`, `language` and `source`: the model, prompt, seed, step and member it was sampled
with and its scores, or the file and row it was taken from.{"".join(_served(recipe))}

{tables}
"""


def _served(recipe: RejectionRecipe) -> list[str]:
    """What other models had to do with the rows, and how the policy was prompted, a sentence each."""
    sentences: list[str] = []
    if recipe.prompting is not None:
        sentences.append(f"The model was prompted in the style `{recipe.prompting.style}` (`source.prompting`).")
    if recipe.judge is not None:
        sentences.append(
            f"`{recipe.judge.name}` judged the answers, each twice, and both times called those correct that were kept "
            "(`source.judge`)."
        )
    if recipe.refiner is not None:
        sentences.append(f"`{recipe.refiner.name}` rewrote thoughts and answers; the rule found them right again.")
    return [f"\n{sentence}" for sentence in sentences]


def _table(name: str, counts: dict[str, int]) -> str:
    rows = "\n".join(f"| {key} | {value:,} |" for key, value in sorted(counts.items()))
    return f"| {name} | completions |\n|---|---|\n{rows}"


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []
