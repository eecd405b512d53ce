"""Charts that tell where the time goes."""

from thinkwright.report.charts import series_colour
from thinkwright.report.curves_form import TRAINED, Curve, trained_source

_ALL = (*TRAINED, "rejection_sample")

CURVES = (
    Curve(
        "Tokens a second",
        "tokens a second",
        "Tokens sampled a second of sampling, and tokens learned from a second of updates",
        "Both are level; sampling slows down as responses grow.",
        (
            trained_source("fine-tuning", "sft/tokens_per_second", series_colour(3)),
            trained_source("update", "update/tokens_per_second", series_colour(2)),
            trained_source("sampling", "rollout/tokens_per_second", series_colour(1)),
        ),
        stages=("rl", "sft", "distill", "rejection_sample"),
    ),
    Curve(
        "Answers graded a second",
        "answers a second",
        "Answers that rules graded a second of grading, which goes on beside the sampling",
        "It is far above the answers sampled a second; then grading costs no time.",
        (trained_source("graded", "reward/answers_per_second"),),
    ),
    Curve(
        "Seconds a step",
        "seconds",
        "Time of a step by phase; grading counts only as far as the step waits for it",
        "Each phase is level or grows with the responses; a jump is the machine's, not the model's.",
        (
            trained_source("teacher", "time/teacher_seconds", series_colour(4)),
            trained_source("waiting for rewards", "time/reward_seconds", series_colour(3)),
            trained_source("update", "time/update_seconds", series_colour(2)),
            trained_source("sampling", "time/rollout_seconds", series_colour(1)),
            trained_source("whole step", "time/step_seconds"),
        ),
        stages=_ALL,
    ),
)
