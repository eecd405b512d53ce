"""What happened, in one plain sentence made from the figures, and how the model learned, in three more."""

from thinkwright.report.series import Row, Run, interval
from thinkwright.report.text import ARROW, duration, nats, percent

CLEAR_GAIN = 0.05  # share of held-out questions; less is not called an improvement
_GROUNDS = {
    "accuracy": "for a right answer",
    "format": "for keeping thought and answer apart in the form asked for",
    "language": "for thinking in the right language",
    "overlong": "off for coming near the length limit",
    "repetition": "off for repeating itself",
    "cosine_length": "for a fitting length",
    "lazy_length": "off for right answers longer than they need be",
    "target_length": "off for another length than was asked",
    "random": "by the toss of a coin",
}
_LONGER = 1.2  # times as many tokens; less is not called thinking more


def headline(run: Run) -> str:
    """The sentence at the top of the page. It claims no more than the held-out figures do."""
    before, after = run.before.get("accuracy"), run.after.get("accuracy")
    if run.stage == "sft":
        return _fine_tuned(run, before, after)
    if run.stage == "distill":
        return _distilled(run, before, after)
    if run.stage == "rejection_sample":
        return _sampled(run)
    if run.stage == "reward_model":
        return _reward_model(run)
    if run.stage == "evaluate":
        return _evaluated(run)
    if before is None:
        return "Nothing to tell yet: no held-out question has been asked."
    if run.is_pretraining:
        return _base_model(run, before)
    if after is None:
        return f"Nothing to compare yet: {percent(before, 0)} of held-out questions right at the start."
    change = f"{percent(before, 0)} {ARROW} {percent(after, 0)} of held-out questions right"
    progress = "" if run.is_finished else f"Not finished ({_steps_of(run)}), so far: "
    if run.setting("rewards.accuracy", 1.0) == 0:
        return progress + _control(run, change, after - before)
    return progress + _verdict(run, change, after - before)


def how_it_learned(run: Run) -> str:
    """The method for someone who has never heard of it, with this run's own numbers; empty without a recipe."""
    if not run.recipe:
        return ""
    if run.is_pretraining:
        return (
            f"In each of {run.num_steps:,} steps it read {run.setting('documents_per_step', 'some')} questions with "
            "replies and learned to write text like them, good habits and bad. No answer was judged. Such a base model "
            "is where learning by reward begins."
        )
    if run.stage == "sft":
        return (
            f"In {run.num_steps:,} steps of up to {run.setting('batch_size', 'some')} questions it read how others "
            "thought and answered, and learned to write the same, token by token (supervised fine-tuning). No answer "
            "of its own was judged. Held-out questions are kept for measuring and never trained on."
        )
    if run.stage == "distill":
        return (
            f"In each of {run.num_steps:,} steps the model, a student, read "
            f"{run.setting('rollout.prompts_per_step', 'some')} questions and wrote "
            f"{run.setting('rollout.group_size', 'several')} responses to each. A second model, its teacher, was asked "
            "how likely it would have written each token, and the student moved towards that (on-policy distillation). "
            "No answer was judged. Held-out questions are kept for measuring and never trained on."
        )
    if run.stage == "rejection_sample":
        return (
            "A model wrote many responses to each question. Those that a program found right and that read well were "
            "kept, a few of each question, as rows that a model can be fine-tuned on. No model was changed."
        )
    if run.stage == "reward_model":
        return (
            f"In {run.num_steps:,} steps it read pairs of responses, or single ones, and learned to score what people "
            "chose or called good higher. In reinforcement learning its score is the reward where no rule can "
            "judge. Held-out pairs are kept for measuring and never trained on."
        )
    if run.stage == "evaluate":
        return (
            "All models answered the same held-out questions, drawn with the same random numbers, so that they differ "
            "by the model alone. Nothing was trained."
        )
    return (
        f"Nobody showed the model a worked solution. In each of {run.num_steps:,} steps it read "
        f"{run.setting('rollout.prompts_per_step', 'some')} questions and wrote "
        f"{run.setting('rollout.group_size', 'several')} responses to each. A program gave every response "
        f"{_grounds(run)}. {_judged(run)}Responses that scored better than the others to the same question were made "
        "more likely, worse ones less; this method is called GRPO. Held-out questions are kept for measuring and never "
        "trained on."
    )


def _grounds(run: Run) -> str:
    """What points were given for: "1 point for a right answer and ..."."""
    paid = [(run.setting(f"rewards.{name}", 0.0), ground) for name, ground in _GROUNDS.items()]
    paid += [(row["weight"], f"by {row['function']}") for row in run.setting("rewards.custom", [])]
    parts = [f"{_points(weight)} {ground}" for weight, ground in paid if weight]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def _judged(run: Run) -> str:
    """What reward models judged, from which step on and for how many points; empty without ``[general]``."""
    kinds = {"helpful": "how helpful the summary is", "harmless": "how harmless the whole response is"}
    shares = {words: run.setting(f"general.{name}.share") for name, words in kinds.items()}
    told = [f"{percent(share, 0)} by {words}" for words, share in shares.items() if share is not None]
    if not told:
        return ""
    first, weight = run.setting("general.first_step", 0), run.setting("general.weight", 1.0)
    start = f"After {first:,} steps reward" if first else "Reward"
    return (
        f"{start} models, trained on what people preferred, judged responses to a part of each step's questions, which "
        f"no program can judge: {' and '.join(told)}, for up to {_points(weight)} in place of those for a right "
        "answer. "
    )


def noise(before: Row, after: Row) -> float:
    """Half the 95 % interval of the difference of two accuracies, as if their questions were drawn apart."""
    ends = [interval(figures, "accuracy") or (0.0, 0.0) for figures in (before, after)]
    return sum(((high - low) / 2) ** 2 for low, high in ends) ** 0.5


def _sampled(run: Run) -> str:
    kept, sampled = run.after.get("examples"), run.after.get("sampled")
    if kept is None:
        return f"Not finished: {_steps_of(run)} of sampling."
    return f"{kept:,} of {sampled:,} sampled responses were right, readable and kept{_cost(run)}."


def _reward_model(run: Run) -> str:
    accuracies = [figures.get("held_out_accuracy") for figures in (run.before, run.after)]
    if accuracies[0] is None:
        return "Nothing to tell yet: no held-out pair has been looked at."
    change = f" {ARROW} ".join(percent(accuracy, 0) for accuracy in accuracies if accuracy is not None)
    start = "" if run.is_finished else f"Not finished ({_steps_of(run)}), so far: "
    told = f"{change} of held-out pairs told as people did{_cost(run)}"
    return f"{start}A reward model that tells what people prefer: {told}."


def _evaluated(run: Run) -> str:
    columns, rows = run.table.get("columns") or [], run.table.get("rows") or []
    if not columns or not rows:
        return f"Not finished: {run.num_steps:,} of {run.planned_steps or '?'} models evaluated."
    right = next((row["values"] for row in rows if row["figure"] == "right answers"), None)
    if right is None or None in right:
        return f"{len(columns)} models side by side{_cost(run)}."
    best = max(range(len(columns)), key=right.__getitem__)
    return (
        f"{len(columns)} models side by side: {columns[best]} answers most held-out questions right, "
        f"{percent(right[best], 0)}{_cost(run)}."
    )


def _base_model(run: Run, accuracy: float) -> str:
    forced = {"made to answer at once": "bare", "made to go step by step": "forced"}
    shares = {name: run.baselines.get(kind, {}).get("accuracy") for name, kind in forced.items()}
    told = "".join(f", {percent(share, 0)} {name}" for name, share in shares.items() if share is not None)
    return f"A base model that imitates text: {percent(accuracy, 0)} of held-out questions right{told}{_cost(run)}."


def _fine_tuned(run: Run, before: float | None, after: float | None) -> str:
    """What imitation brought: right answers if a task was measured, else the loss."""
    start = "" if run.is_finished else f"Not finished ({_steps_of(run)}), so far: "
    losses = [figures.get("held_out_loss") for figures in (run.before, run.after)]
    if before is not None and after is not None:
        change = f"{percent(before, 0)} {ARROW} {percent(after, 0)} of held-out questions right"
    elif None not in losses:
        change = f"loss of held-out ones {nats(losses[0])} {ARROW} {nats(losses[1])} nats per token"
    elif points := run.trained("loss/nll"):
        change = f"training loss {nats(points[0][1])} {ARROW} {nats(points[-1][1])} nats per token, nothing held out"
    else:
        return "Nothing to tell yet: no step of fine-tuning is done."
    return f"{start}A model that imitates worked answers: {change}{_cost(run)}."


def _distilled(run: Run, before: float | None, after: float | None) -> str:
    """What the teacher brought: right answers if a task was measured, else how near the student came to it."""
    start = "" if run.is_finished else f"Not finished ({_steps_of(run)}), so far: "
    if before is not None and after is not None:
        change = f"{percent(before, 0)} {ARROW} {percent(after, 0)} of held-out questions right"
    elif points := run.trained("loss/reverse_kl"):
        change = f"{nats(points[0][1])} {ARROW} {nats(points[-1][1])} nats per token away from it"
    else:
        return "Nothing to tell yet: no step of distillation is done."
    return f"{start}A student that follows its teacher: {change}{_cost(run)}."


def _verdict(run: Run, change: str, gain: float) -> str:
    is_beyond_chance = abs(gain) > noise(run.before, run.after)
    if gain <= -CLEAR_GAIN and is_beyond_chance:
        return f"The model got worse: {change}{_cost(run)}."
    if gain < CLEAR_GAIN:
        return f"The model did not clearly improve: {change}{_cost(run)}."
    if not is_beyond_chance:
        return f"The model may have improved, but chance alone could do as much: {change}{_cost(run)}."
    if not _is_longer(run):
        return f"A model got better without longer responses: {change}{_cost(run)}, by reward alone."
    if _mostly_guessed(run):
        return f"A model that mostly guessed learned to think first: {change}{_cost(run)}, by reward alone."
    return f"A model learned to think longer before it answers: {change}{_cost(run)}, by reward alone."


def _control(run: Run, change: str, gain: float) -> str:
    """No weight on right answers: a run that must not be told as a success."""
    if run.setting("rewards.random", 0.0) > 0:
        kind = "Control run, rewarded by the toss of a coin"
    elif run.setting("rewards.custom"):
        return f"A run rewarded by a function of its own: {change}{_cost(run)}."
    else:
        kind = "A run rewarded for form alone, never for right answers"
    if abs(gain) < CLEAR_GAIN or abs(gain) <= noise(run.before, run.after):
        return f"{kind}: it did not clearly change how often the model is right, {change}{_cost(run)}."
    if gain < 0:
        return f"{kind}: the model got worse, {change}{_cost(run)}."
    return f"{kind}, and yet the model is right more often, which needs an explanation: {change}{_cost(run)}."


def _mostly_guessed(run: Run) -> bool:
    """Whether the base was nearer to answering at once than to going step by step; without baselines, mostly wrong."""
    before = run.before["accuracy"]
    bare, forced = (run.baselines.get(kind, {}).get("accuracy") for kind in ("bare", "forced"))
    if bare is None or forced is None:
        return before < 0.5
    return abs(before - bare) < abs(before - forced)


def _is_longer(run: Run) -> bool:
    before, after = (figures.get("mean_response_tokens") or 0.0 for figures in (run.before, run.after))
    return before > 0 and after >= _LONGER * before


def _cost(run: Run) -> str:
    return "" if run.wall_seconds is None else f", in {duration(run.wall_seconds)} on this machine"


def _steps_of(run: Run) -> str:
    total = run.planned_steps
    return f"{run.num_steps:,} of {total:,} steps" if total else f"{run.num_steps:,} steps"


def _points(weight: float) -> str:
    return "1 point" if weight == 1 else f"{weight:g} points"
