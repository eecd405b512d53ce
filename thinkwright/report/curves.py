"""The curves of a run, each with one sentence on what it shows."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

from thinkwright.report.charts import Level, Line, legend, line_chart
from thinkwright.report.series import Run
from thinkwright.report.text import escape, number

_ENDS = 5  # noisy steps averaged to tell where a curve starts and ends

GENERAL = "general"
"""Stands among the kinds of runs for an RL run with prompts that reward models judge."""


class Source(NamedTuple):
    """Where a line of a chart comes from."""

    name: str
    kind: Literal["trained", "held_out"]
    key: str
    colour: Literal["train", "train-2", "train-3", "held-out"]


@dataclass(frozen=True)
class Curve:
    """A chart: its sources (the last that has values is told in words) and the sentence's first half."""

    title: str
    y_label: str
    meaning: str
    sources: tuple[Source, ...]
    is_share: bool = False
    stages: tuple[str, ...] = ("rl",)
    """The kinds of runs it is a curve of."""


CURVES = (
    Curve(
        "Training loss",
        "nats per token",
        "How far off the model is in guessing the next token of the text it learns to imitate",
        (Source("loss", "trained", "loss/nll", "train"),),
        stages=("pretrain",),
    ),
    Curve(
        "Loss",
        "nats per token",
        "How far off the model is in guessing the next token of worked answers, read in training or kept out of it",
        (
            Source("training", "trained", "loss/nll", "train"),
            Source("held-out", "held_out", "held_out_loss", "held-out"),
        ),
        stages=("sft",),
    ),
    Curve(
        "Distance from the teacher",
        "reverse KL, nats per token",
        "How far the student's choice of the next token is from its teacher's, on what the student itself wrote",
        (Source("training", "trained", "loss/reverse_kl", "train"),),
        stages=("distill",),
    ),
    Curve(
        "Training reward and accuracy",
        "points",
        "What training pushes up: mean points per response to training questions, and the part for right answers",
        (
            Source("coin toss", "trained", "reward/random", "train-3"),
            Source("right answers", "trained", "reward/accuracy", "train-2"),
            Source("total reward", "trained", "reward/total", "train"),
        ),
    ),
    Curve(
        "Held-out accuracy",
        "right answers",
        "The honest measure: share of questions right that are never trained on, with 95% intervals",
        (Source("held-out", "held_out", "accuracy", "held-out"),),
        is_share=True,
        stages=("rl", "sft", "distill"),
    ),
    Curve(
        "Response length",
        "tokens",
        "Writing thought down takes tokens, so a model that begins to think writes longer responses",
        (
            Source("training", "trained", "rollout/response_tokens", "train"),
            Source("held-out", "held_out", "mean_response_tokens", "held-out"),
        ),
        stages=("rl", "sft", "distill"),
    ),
    Curve(
        "Form kept",
        "responses in the form",
        "Share of responses with one thought and one answer, each in its tags (format rate)",
        (
            Source("training", "trained", "reward/format", "train"),
            Source("held-out", "held_out", "format_rate", "held-out"),
        ),
        is_share=True,
        stages=("rl", "sft", "distill"),
    ),
    Curve(
        "Self-checking words",
        "words per response",
        "Words such as wait, check or wrong: a sign, not a proof, that the model goes back over its own work",
        (
            Source("training", "trained", "rollout/reflection_words", "train"),
            Source("held-out", "held_out", "reflection_words", "held-out"),
        ),
        stages=("rl", "sft", "distill"),
    ),
    Curve(
        "Distance from the reference model",
        "KL, nats per token",
        "How far the model has moved from its reference, an earlier copy of itself; a sudden climb is a warning",
        (Source("KL to reference", "trained", "policy/kl", "train"),),
    ),
    Curve(
        "Clipped tokens",
        "share of tokens",
        "Share of tokens whose push was held back because one update would have changed them too much (clip fraction)",
        (Source("clip fraction", "trained", "policy/clip_fraction", "train"),),
        is_share=True,
    ),
    Curve(
        "Undecidedness",
        "entropy, nats per token",
        "How open the choice of the next token is; near 0 the model has stopped trying anything new",
        (Source("entropy", "trained", "policy/entropy", "train"),),
    ),
    Curve(
        "Verdict of the reward models",
        "0 to 1",
        "What reward models say of responses to requests that no rule judges; a rise while the held-out accuracy falls "
        "means that the reward is hacked",
        (
            Source("helpful", "trained", "general/helpful", "train-3"),
            Source("harmless", "trained", "general/harmless", "train-2"),
            Source("all", "trained", "general/preference", "train"),
        ),
        stages=(GENERAL,),
    ),
    Curve(
        "Requests answered without a thought",
        "responses",
        "Share of responses to those requests that answer at once, as small talk wants",
        (Source("without a thought", "trained", "general/bare_rate", "train"),),
        is_share=True,
        stages=(GENERAL,),
    ),
    Curve(
        "Length of responses to requests",
        "tokens",
        "Tokens of responses that reward models judge",
        (Source("training", "trained", "general/response_tokens", "train"),),
        stages=(GENERAL,),
    ),
    Curve(
        "Kept responses",
        "responses a round",
        "Responses of each round of sampling, and those of them that were right and readable",
        (
            Source("sampled", "trained", "sample/completions", "train-3"),
            Source("kept", "trained", "sample/kept", "train"),
        ),
        stages=("rejection_sample",),
    ),
    Curve(
        "Loss",
        "nats per pair or response",
        "How far off the model is in telling what people preferred; a toss of a coin has 0.69",
        (Source("training", "trained", "loss/preference", "train"),),
        stages=("reward_model",),
    ),
    Curve(
        "Told as people told",
        "held-out pairs",
        "Share of held-out pairs ranked as people did, with 95% intervals",
        (Source("held-out", "held_out", "held_out_accuracy", "held-out"),),
        is_share=True,
        stages=("reward_model",),
    ),
    Curve(
        "Longer and shorter ones",
        "held-out pairs",
        "Pairs told right where people chose the longer or the shorter response; far apart, length misleads it",
        (
            Source("longer chosen", "held_out", "accuracy_chosen_longer", "train-2"),
            Source("shorter chosen", "held_out", "accuracy_chosen_shorter", "held-out"),
        ),
        is_share=True,
        stages=("reward_model",),
    ),
)


def curves_section(run: Run) -> str:
    """All charts that have data, then the names of those that have none."""
    drawn, absent = [], []
    kinds = {run.stage, *([GENERAL] if run.setting("general") else [])}
    for curve in (curve for curve in CURVES if kinds.intersection(curve.stages)):
        figure = "" if _is_meaningless(curve, run) else _figure(curve, run)
        drawn.append(figure)
        if not figure:
            absent.append(curve.title)
    told = f'<p class="aside">Not measured in this run: {escape(", ".join(absent).lower())}.</p>' if absent else ""
    smooth = (
        '<p class="aside">Thin lines are single steps, thick ones their moving average, dots held-out evaluations. '
        "Point at a chart to read its values.</p>"
    )
    return f'{smooth if any(drawn) else ""}<div class="charts">{"".join(drawn)}</div>{told}'


def _is_meaningless(curve: Curve, run: Run) -> bool:
    """KL without a reference model is recorded as 0 and means nothing."""
    return curve.sources[0].key == "policy/kl" and run.setting("algorithm.kl_coef") == 0


def _figure(curve: Curve, run: Run) -> str:
    lines = [line for source in curve.sources if (line := _line(source, run)).points]
    if not lines:
        return ""
    form = _share if curve.is_share else number
    levels = _levels(run) if curve.title == "Held-out accuracy" else []
    chart = line_chart(curve.title, curve.y_label, lines, levels, form, run.last_step)
    names = legend(lines, []) if len(lines) > 1 else ""
    told = f"<h3>{escape(curve.title)}</h3><p>{escape(curve.meaning + _span(lines[-1], form, run))}</p>"
    return f"<figure><figcaption>{told}</figcaption>{names}{chart}</figure>"


def _line(source: Source, run: Run) -> Line:
    if source.kind == "trained":
        return Line(source.name, run.trained(source.key), source.colour)
    errors = run.held_out(f"{source.key}_standard_error")
    halves = tuple(1.96 * error for _, error in errors)
    return Line(source.name, run.held_out(source.key), source.colour, is_noisy=False, half_widths=halves)


def _levels(run: Run) -> list[Level]:
    names = {"bare": "base, answering at once", "forced": "base, step by step"}
    found = {name: run.baselines.get(kind, {}).get("accuracy") for kind, name in names.items()}
    return [Level(name, value) for name, value in found.items() if value is not None]


def _span(line: Line, form: Callable[[float], str], run: Run) -> str:
    """The sentence's second half: the line's first and last value."""
    first, last = _ends(line)
    if len(line.points) == 1:
        return f"; {line.name}: {form(first)} so far."
    return f"; {line.name}: {form(first)} at first, {form(last)} {'at the end' if run.is_finished else 'so far'}."


def _ends(line: Line) -> tuple[float, float]:
    count = _ENDS if line.is_noisy and len(line.points) >= 4 * _ENDS else 1
    values = [y for _, y in line.points]
    return fmean(values[:count]), fmean(values[-count:])


def _share(value: float) -> str:
    return f"{number(100 * value)}%"
