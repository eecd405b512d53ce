"""Preference files by hand: import those of others, look at one, split it, ask how far its judges agreed."""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from thinkwright.errors import DataError
from thinkwright.evaluation.agreement import agreement_figures
from thinkwright.evaluation.preference_figures import position_bias
from thinkwright.rewards.language import detect_language
from thinkwright.run_folder import write_bytes_atomic
from thinkwright.tasks.decontamination import identity
from thinkwright.tasks.example import Row
from thinkwright.tasks.known_pairs import KNOWN_PAIRS, NOT_PAIRS, known_pairs, pairs_of
from thinkwright.tasks.preferences import PreferencePair, every_pair, pair_rows, read_pairs
from thinkwright.tasks.read import KNOWN_PREFIX, read_rows, stem_of

_NUM_PLACES = 5


def import_pairs(source: str, out: Path) -> list[str]:
    """Write the preferences of a known set, a file or a Hub set to ``out``; gives back what to tell, a line each.

    Raises DataError for a source or row that cannot be read, if nothing is left, and if ``out`` is there already.
    """
    refuse_existing(out)
    name = source.removeprefix(KNOWN_PREFIX)
    left_out: Counter[str] = Counter()
    if name in KNOWN_PAIRS or name in NOT_PAIRS or source.startswith(KNOWN_PREFIX):
        found = known_pairs(name, "SOURCE", left_out)
    elif not any(mark in source for mark in "/.:"):
        raise DataError(f"{source}: neither a file nor one of the sets {', '.join(KNOWN_PAIRS)}; correct SOURCE")
    else:
        found = pairs_of(read_rows(source, "SOURCE"), source, stem_of(source), left_out)
    rows = [row if "language" in row else row | {"language": detect_language(row["question"])} for _, row in found]
    reasons = [f"{count:,} rows left out: {reason}" for reason, count in left_out.most_common()]
    if not rows:
        raise DataError(
            f"{source}: no row holds a preference ({'; '.join(reasons) or 'the file is empty'}); give another"
        )
    write_rows(out, rows)
    lines = [f"{out}: {len(rows):,} rows from {source}", *reasons]
    if name in KNOWN_PAIRS and KNOWN_PAIRS[name].is_for_testing:
        lines.append(f"note: {name} was made to test reward models with; do not train on it")
    return lines


def check_pairs(paths: Sequence[str]) -> list[str]:
    """What a ``reward_model`` stage would read of the files, and what may mislead it, a line each. Raises DataError."""
    pairs = read_pairs(paths, both_sides=False)
    both = [pair for pair in pairs if pair.chosen is not None and pair.rejected is not None]
    counts = {
        "with both sides": len(both),
        "with a chosen one alone": sum(pair.rejected is None for pair in pairs),
        "with a rejected one alone": sum(pair.chosen is None for pair in pairs),
    }
    languages = Counter(pair.language or "not said" for pair in pairs)
    lines = [
        f"{len(pairs):,} rows: {', '.join(f'{count:,} {kind}' for kind, count in counts.items())}",
        f"languages: {', '.join(f'{name} {count:,}' for name, count in languages.most_common())}",
        *_repeated(pairs),
    ]
    if len(both) < len(pairs):
        lines.append("single responses: fit for loss = pointwise alone")
    lengths = [(len(pair.chosen.answer), len(pair.rejected.answer)) for pair in both if pair.chosen and pair.rejected]
    if longer := [chosen > rejected for chosen, rejected in lengths if chosen != rejected]:
        lines.append(f"length: the longer one chosen in {fmean(longer):.1%} (balance_lengths evens that out)")
    return [*lines, *_position_line([pair.first for pair in pairs if pair.first is not None])]


def split_pairs(path: str, share: float, folder: Path) -> list[str]:
    """Write ``training.jsonl`` and ``held_out.jsonl``, equal questions on one side; what to tell, a line each.

    Held out are the questions at the end of the order whose beginning a ``reward_model`` stage holds out, so that the
    stage finds its own held-out questions in what is left. Raises DataError for a broken row, and for an empty side.
    """
    targets = {name: folder / f"{name}.jsonl" for name in ("training", "held_out")}
    for target in targets.values():
        refuse_existing(target)
    from thinkwright.training.sft_data import question_share  # brings torch

    every_pair([path])
    sides: dict[str, list[Row]] = {name: [] for name in targets}
    for _, row in pair_rows(path):
        sides["held_out" if question_share(row["question"]) >= 1 - share else "training"].append(row)
    for name, rows in sides.items():
        if not rows:
            raise DataError(f"{path}: no row would be {name.replace('_', ' ')}; change --share, or give more questions")
    for name, target in targets.items():
        write_rows(target, sides[name])
    return [
        f"{target}: {len(sides[name]):,} rows, {len({row['question'] for row in sides[name]}):,} questions"
        for name, target in targets.items()
    ]


def judges_agreement(path: str) -> list[str]:
    """How far the judges of a file agreed, a line each. Raises DataError for a broken row, and without votes."""
    judged = [pair for pair in every_pair([path]) if len(pair.votes) > 1]
    if not judged:
        raise DataError(f"{path}: no row has two votes or more, so there is no agreement to measure; write votes")
    found = agreement_figures(judged)
    return [
        f"{len(judged):,} pairs with {sum(len(pair.votes) for pair in judged):,} votes",
        f"all judges agree: {found['unanimous']:.1%}",
        f"votes with the majority: {found['majority_share']:.1%}",
        f"ties: {found['ties']:.1%}",
        f"stored choice against the majority: {found['contradicted']:.1%}",
        f"Krippendorff's alpha: {found['alpha']:.3f} (1 perfect, 0 chance)",
        *_position_line([pair.first for pair in judged if pair.first is not None]),
    ]


def _repeated(pairs: Sequence[PreferencePair]) -> list[str]:
    """Rows that say the same as an earlier one, or the contrary."""
    first: dict[tuple[object, ...], str] = {}
    same: list[str] = []
    contrary: list[str] = []
    for pair in pairs:
        question = identity(pair.question, is_made=True)
        earlier = first.setdefault((question, pair.chosen, pair.rejected), pair.place)
        if earlier != pair.place:
            same.append(f"{pair.place} as {earlier}")
        if swapped := first.get((question, pair.rejected, pair.chosen)):
            contrary.append(f"{pair.place} against {swapped}")
    return [_listed("duplicates", same), _listed("contradictions", contrary)]


def _listed(kind: str, places: Sequence[str]) -> str:
    shown = [*places[:_NUM_PLACES], *(["..."] if len(places) > _NUM_PLACES else [])]
    return f"{kind}: {len(places):,}" + (f" ({', '.join(shown)})" if shown else "")


def _position_line(firsts: Sequence[str]) -> list[str]:
    if not firsts:
        return []
    found = position_bias(firsts)
    error = found["first_chosen_standard_error"]
    return [f"position: the one shown first chosen in {found['first_chosen']:.1%} +- {error:.1%} of {len(firsts):,}"]


def refuse_existing(path: Path) -> None:
    """Raises DataError if there is a file already."""
    if path.exists():
        raise DataError(f"{path}: is there already; give another name, or take it away")


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """JSON lines, whole or not at all; compressed if the name ends in ``.gz``."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    write_bytes_atomic(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
