"""When the model began to check and to correct itself: the first steps at which that appears and holds, with examples.

``rollout/checking_rate`` and ``rollout/correcting_rate`` are shares of a step's completions. A rate *appears* at the
first step after the base ones at which it lies more than a margin above their mean. It *holds* from the first step on,
not before that, after which its moving average never falls back.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

from thinkwright.report.charts import Level, Line, legend, line_chart
from thinkwright.report.rollout_data import BROKEN, ROLLOUTS
from thinkwright.report.series import Points, Row, Run
from thinkwright.report.text import escape, model_text, number, percent
from thinkwright.rewards.reflection import checks_itself, corrects_itself
from thinkwright.run_folder import read_rollouts

BASE_STEPS = 5
MIN_MARGIN, DEVIATIONS = 0.02, 3.0
SMOOTHED_STEPS = 5  # also how many steps a rate has to stay up at the least
NUM_EXAMPLES = 3
_MAX_CHARS = 1500  # of an example
_MAX_LINE = 400  # a longer line is marked as a whole
_TOKEN = re.compile(r"[A-Za-z0-9']+|(?s:.)")

Test = Callable[[str], bool]
Reader = Callable[[Path], list[Row]]


@dataclass(frozen=True)
class Kind:
    """A habit that is looked for."""

    name: str
    title: str
    key: str
    colour: Literal["train", "train-2"]
    test: Test
    meaning: str


KINDS = (
    Kind("checking", "Checking", "rollout/checking_rate", "train", checks_itself, "goes over its own work"),
    Kind("correcting", "Correcting", "rollout/correcting_rate", "train-2", corrects_itself, "takes back what it wrote"),
)


@dataclass(frozen=True)
class Onset:
    """When a rate rose: ``appears`` and ``holds`` are steps, None if it never did."""

    base: float
    """Mean rate of the first steps."""
    line: float
    """The rate that has to be passed: base and margin."""
    appears: int | None
    holds: int | None


def find_onset(points: Points) -> Onset | None:
    """Appearance and hold of a rate; None with too few steps to tell one from chance."""
    if len(points) < BASE_STEPS + SMOOTHED_STEPS:
        return None
    first = [rate for _, rate in points[:BASE_STEPS]]
    line = fmean(first) + max(MIN_MARGIN, DEVIATIONS * stdev(first))
    appears = next((int(step) for step, rate in points[BASE_STEPS:] if rate > line), None)
    if appears is None:
        return Onset(fmean(first), line, None, None)
    smooth = smoothed(points)
    lows = [i for i, (_, rate) in enumerate(smooth) if rate <= line]
    start = max(lows[-1] + 1 if lows else 0, next(i for i, (step, _) in enumerate(points) if step == appears))
    holds = int(points[start][0]) if len(points) - start >= SMOOTHED_STEPS else None
    return Onset(fmean(first), line, appears, holds)


def smoothed(points: Points) -> Points:
    """Centred mean over ``SMOOTHED_STEPS`` steps, fewer at the ends."""
    reach = SMOOTHED_STEPS // 2
    return tuple((x, fmean(y for _, y in points[max(0, i - reach) : i + reach + 1])) for i, (x, _) in enumerate(points))


def aha_section(run: Run, folder: Path, read: Reader = read_rollouts) -> str:
    """Of each habit its curve, when it appeared and held, and completions of those steps; reads only their files.

    Nothing for a run that is not trained by reward.
    """
    if run.stage != "rl" or not run.metrics:
        return ""
    rates = {kind.name: run.trained(kind.key) for kind in KINDS}
    if not any(rates.values()):
        return (
            '<p class="absent">Not measured: metrics.jsonl has no rollout/checking_rate and '
            "rollout/correcting_rate, which earlier versions did not write.</p>"
        )
    onsets = {kind.name: find_onset(rates[kind.name]) for kind in KINDS}
    intro = (
        "A habit <b>appears</b> at the first step at which its rate lies more than a margin above the mean of the "
        f"first {BASE_STEPS} steps: {100 * MIN_MARGIN:g} percentage points, or {DEVIATIONS:g} standard deviations of "
        "those steps if that is more. It <b>holds</b> from the step on after which the mean over "
        f"{SMOOTHED_STEPS} steps stays above. "
        "Words are a sign, not a proof, that the model goes back over its work."
    )
    files = ROLLOUTS.files(folder)
    told = "".join(_habit(kind, rates[kind.name], onsets[kind.name], files, read) for kind in KINDS if rates[kind.name])
    return f"<p>{intro}</p>{_chart(run, rates, onsets)}{told}"


def marked(text: str, test: Test) -> str:
    """The text as HTML, what makes it pass the test in ``<mark>``: the shortest run of words of each line that passes.

    If no line passes alone, the fewest lines that pass together.
    """
    lines = text.splitlines(keepends=True)
    if any(test(line) for line in lines):
        return "".join(_marked_line(line, test) if test(line) else model_text(line) for line in lines)
    return _with_mark(lines, test) if test(text) else model_text(text)


def _chart(run: Run, rates: dict[str, Points], onsets: dict[str, Onset | None]) -> str:
    lines = [Line(kind.name, rates[kind.name], kind.colour) for kind in KINDS if rates[kind.name]]
    levels = [Level(f"{name}: margin", onset.line) for name, onset in onsets.items() if onset is not None]
    chart = line_chart(
        "Checking and correcting", "completions", lines, levels, lambda value: f"{number(100 * value)}%", run.last_step
    )
    caption = "<h3>Checking and correcting</h3><p>Share of a step's completions with words of either habit.</p>"
    return f'<div class="charts"><figure><figcaption>{caption}</figcaption>{legend(lines, [])}{chart}</figure></div>'


def _habit(kind: Kind, points: Points, onset: Onset | None, files: dict[int, Path], read: Reader) -> str:
    head = f"<h3>{kind.title}: the model {kind.meaning}</h3>"
    if onset is None:
        return f"{head}<p>Too few steps to tell a rise from chance: {BASE_STEPS + SMOOTHED_STEPS} are needed.</p>"
    ends = f"{percent(onset.base)} of completions in the first {BASE_STEPS} steps, {percent(_last(points))} in the last"
    if onset.appears is None:
        return f"{head}<p>It does not appear: {ends}; the margin ends at {percent(onset.line)}.</p>"
    held = "it has not held" if onset.holds is None else f"it holds from step <b>{onset.holds}</b> on"
    told = f"{head}<p>It appears at step <b>{onset.appears}</b>, and {held}: {ends}.</p>"
    steps = sorted({step for step in (onset.appears, onset.holds) if step is not None})
    return told + "".join(_examples(kind, step, files.get(step), read) for step in steps)


def _last(points: Points) -> float:
    return fmean(rate for _, rate in points[-BASE_STEPS:])


def _examples(kind: Kind, step: int, path: Path | None, read: Reader) -> str:
    """The count and the first examples of a step, of different questions as far as there are."""
    if path is None:
        return f'<p class="absent">The completions of step {step} are not there.</p>'
    try:
        groups = read(path)
        texts = [
            [str(own["text"]) for member in group["members"] if not (own := member["rollout"]).get("is_taught")]
            for group in groups
        ]
        questions = [str(group["prompt"]["question"]) for group in groups]
    except BROKEN:
        return f'<p class="absent">{escape(path.name)} could not be read.</p>'
    found = [(i, text) for i, members in enumerate(texts) for text in members if kind.test(text)]
    total = sum(map(len, texts))
    firsts = {i: (i, text) for i, text in reversed(found)}
    chosen = sorted([*firsts.values(), *(one for one in found if one not in firsts.values())], key=_is_long)
    cards = "".join(_card(questions[i], text, kind.test) for i, text in chosen[:NUM_EXAMPLES])
    return (
        f"<p>Step {step}: {len(found):,} of {total:,} completions ({percent(len(found) / max(1, total))}).</p>{cards}"
    )


def _is_long(example: tuple[int, str]) -> bool:
    return len(example[1]) > _MAX_CHARS


def _card(question: str, text: str, test: Test) -> str:
    asked = model_text(question[:_MAX_CHARS])
    return (
        f'<article class="example aha-example"><header><p class="question">{asked}</p></header>'
        f'<section class="reply"><pre>{marked(_around(text, test), test)}</pre></section></article>'
    )


def _around(text: str, test: Test) -> str:
    """The text, or of a long one the part around the first line that passes."""
    if len(text) <= _MAX_CHARS:
        return text
    position = 0
    for line in text.splitlines(keepends=True):
        if test(line):
            start = max(0, position - _MAX_CHARS // 2)
            return ("..." if start else "") + text[start : start + _MAX_CHARS] + "..."
        position += len(line)
    return text[:_MAX_CHARS] + "..."


def _marked_line(line: str, test: Test) -> str:
    return f"<mark>{model_text(line)}</mark>" if len(line) > _MAX_LINE else _with_mark(_TOKEN.findall(line), test)


def _with_mark(parts: list[str], test: Test) -> str:
    """The parts joined, those it takes to pass in ``<mark>``: others are taken off in front, then behind."""
    start, end = 0, len(parts)
    while start + 1 < end and test("".join(parts[start + 1 : end])):
        start += 1
    while end - 1 > start and test("".join(parts[start : end - 1])):
        end -= 1
    before, inside, after = parts[:start], parts[start:end], parts[end:]
    return f"{model_text(''.join(before))}<mark>{model_text(''.join(inside))}</mark>{model_text(''.join(after))}"
