"""Charts that tell whether it learns: rewards, right answers, losses."""

import re
from collections.abc import Sequence

from thinkwright.report.charts import series_colour
from thinkwright.report.curves_form import GENERAL, Curve, Source, held_out_source, trained_source
from thinkwright.report.series import Run

_NO_PARTS = {"total", "group_std", "answers_per_second", "failed", "timeouts", "skipped"}
_NAMES = {"accuracy": "right answers", "random": "coin toss"}
_RANKED = ("rl", "sft", "distill")
ONE_RESPONSE = held_out_source("one response (pass@1)", "accuracy")


def _reward_parts(run: Run) -> Sequence[Source]:
    """Each reward that was given, the total last."""
    names = sorted({key.removeprefix("reward/") for row in run.metrics for key in row if key.startswith("reward/")})
    parts = [name for name in names if name not in _NO_PARTS]
    lines = [
        trained_source(_in_words(name), f"reward/{name}", series_colour(i))
        for i, name in enumerate(parts, 1)  # the first of these colours is too near the total's
    ]
    return [*lines, trained_source("total reward", "reward/total")]


def _in_words(name: str) -> str:
    """A reward of the user's own, ``module:function``, keeps its name."""
    return name if ":" in name else _NAMES.get(name, name.replace("_", " "))


def of_several(run: Run) -> Sequence[Source]:
    """One response, the vote of all, one of all: as many as every evaluation drew."""
    names = {name for row in run.evaluations for name in row["figures"]}
    lines: list[Source] = []
    for stem, told, colour in (
        ("pass_at", "one of {} right (pass@{})", "train"),
        ("cons_at", "vote of {} (cons@{})", "train-2"),
    ):
        sizes = sorted(int(found[1]) for name in names if (found := re.fullmatch(rf"{stem}_(\d+)", name)))
        if sizes:
            lines.append(held_out_source(told.format(sizes[-1], sizes[-1]), f"{stem}_{sizes[-1]}", colour))
    return [*lines, ONE_RESPONSE] if lines else []


CURVES = (
    Curve(
        "Training loss",
        "nats per token",
        "How far off the model is in guessing the next token of the text it learns to imitate",
        "It falls, fast at first; a jump upwards means that the learning rate is too high.",
        (trained_source("loss", "loss/nll"),),
        stages=("pretrain",),
    ),
    Curve(
        "Loss",
        "nats per token",
        "How far off the model is in guessing the next token of worked answers, read in training or kept out of it",
        "Both fall together; held-out loss that rises while the other falls means that rows are learned by heart.",
        (trained_source("training", "loss/nll"), held_out_source("held-out", "held_out_loss")),
        stages=("sft",),
    ),
    Curve(
        "Distance from the teacher",
        "reverse KL, nats per token",
        "How far the student's choice of the next token is from its teacher's, on what the student itself wrote",
        "It falls and levels off.",
        (trained_source("training", "loss/reverse_kl"),),
        stages=("distill",),
    ),
    Curve(
        "Reward and its parts",
        "points",
        "What training pushes up: mean points per response to training questions, and each part before its weight",
        "It rises and levels off; one part that rises while the others fall is being gamed.",
        _reward_parts,
    ),
    Curve(
        "Spread of rewards in a group",
        "standard deviation",
        "How far the rewards of responses to the same question lie apart: only differences teach",
        "It stays above 0 and shrinks slowly as questions get easy; at 0 nothing is learned any more.",
        (trained_source("spread", "reward/group_std"),),
    ),
    Curve(
        "Held-out accuracy",
        "right answers",
        "The honest measure: share of questions right that are never trained on, with its 95% band",
        "It rises with the reward; a reward that rises alone is being hacked.",
        (held_out_source("held-out", "accuracy"),),
        is_share=True,
        stages=_RANKED,
    ),
    Curve(
        "Several responses a question",
        "held-out questions",
        "What more responses would bring: the majority's answer (cons@k), and any one of them being right (pass@k)",
        "All rise; where only one response rises, training makes likelier what the model could do before.",
        of_several,
        is_share=True,
        stages=_RANKED,
    ),
    Curve(
        "Form kept",
        "responses in the form",
        "Share of responses with one thought and one answer, each in its tags (format rate)",
        "It nears 100% early and stays there.",
        (trained_source("training", "reward/format"), held_out_source("held-out", "format_rate")),
        is_share=True,
        stages=_RANKED,
    ),
    Curve(
        "Verdict of the reward models",
        "0 to 1",
        "What reward models say of responses to requests that no rule judges",
        "It rises while the held-out accuracy holds; if that falls meanwhile, the reward models are being hacked.",
        (
            trained_source("helpful", "general/helpful", "train-3"),
            trained_source("harmless", "general/harmless", "train-2"),
            trained_source("all", "general/preference"),
        ),
        stages=(GENERAL,),
    ),
    Curve(
        "Questions of the curriculum",
        "questions",
        "Questions that are still asked, those put aside as solved, and those put aside as too hard",
        "Solved ones grow in number, and enough are left to ask.",
        (
            trained_source("solved", "curriculum/retired", "train-2"),
            trained_source("too hard", "curriculum/too_hard", "train-3"),
            trained_source("asked", "curriculum/active"),
        ),
        is_optional=True,
    ),
    Curve(
        "Kept responses",
        "responses a round",
        "Responses of each round of sampling, and those of them that were right and readable",
        "A steady share is kept, from questions of all kinds.",
        (trained_source("sampled", "sample/completions", "train-3"), trained_source("kept", "sample/kept")),
        stages=("rejection_sample",),
    ),
    Curve(
        "Loss",
        "nats per pair or response",
        "How far off the model is in telling what people preferred; a toss of a coin has 0.69",
        "It falls below 0.69 and levels off.",
        (trained_source("training", "loss/preference"),),
        stages=("reward_model",),
    ),
    Curve(
        "Told as people told",
        "held-out pairs",
        "Share of held-out pairs ranked as people did, with its 95% band",
        "It rises well above 50% and levels off; a fall at the end means that pairs are learned by heart.",
        (held_out_source("held-out", "held_out_accuracy"),),
        is_share=True,
        stages=("reward_model",),
    ),
    Curve(
        "Longer and shorter ones",
        "held-out pairs",
        "Pairs told right where people chose the longer or the shorter response",
        "The two stay close; far apart, length misleads it.",
        (
            held_out_source("longer chosen", "accuracy_chosen_longer", "train-2"),
            held_out_source("shorter chosen", "accuracy_chosen_shorter"),
        ),
        is_share=True,
        stages=("reward_model",),
    ),
)
