"""Charts that tell whether it thinks, and how: lengths, words of self-checking, language."""

from thinkwright.report.charts import series_colour
from thinkwright.report.curves_form import GENERAL, Curve, held_out_source, trained_source
from thinkwright.rewards.reflection import ENGLISH_WORDS

_WRITING = ("rl", "sft", "distill")

CURVES = (
    Curve(
        "Response length",
        "tokens",
        "Writing thought down takes tokens, so a model that begins to think writes longer responses",
        "It grows with the held-out accuracy; growth alone is talk, a sudden fall is thought given up.",
        (trained_source("training", "rollout/response_tokens"), held_out_source("held-out", "mean_response_tokens")),
        stages=_WRITING,
    ),
    Curve(
        "Length of right and wrong responses",
        "tokens",
        "Mean tokens of responses that were right, and of those that were wrong",
        "Right ones grow too; wrong ones that grow alone get lost, and are cut at the limit in the end.",
        (
            trained_source("wrong", "rollout/response_tokens_wrong", series_colour(1)),
            trained_source("right", "rollout/response_tokens_right", series_colour(0)),
        ),
    ),
    Curve(
        "Length of finished and truncated responses",
        "tokens",
        "Mean tokens of responses that ended by themselves, and of those that were cut at the limit",
        "Finished ones stay well below the limit; where they near it, the limit holds thought back.",
        (
            trained_source("truncated", "rollout/response_tokens_truncated", series_colour(1)),
            trained_source("finished", "rollout/response_tokens_finished", series_colour(0)),
        ),
    ),
    Curve(
        "Shortest and longest response",
        "tokens",
        "The two ends of a step's responses",
        "The longest reaches the limit now and then at most; a shortest one of a few tokens is no thought.",
        (
            trained_source("shortest", "rollout/response_tokens_min", series_colour(1)),
            trained_source("longest", "rollout/response_tokens_max", series_colour(0)),
        ),
    ),
    Curve(
        "Truncated responses",
        "responses",
        "Share of responses that were cut at the length limit before they ended",
        "It is near 0; above a tenth the limit is too low, or the model goes round in circles.",
        (trained_source("training", "rollout/truncated_rate"), held_out_source("held-out", "truncated_rate")),
        is_share=True,
        stages=_WRITING,
    ),
    Curve(
        "Self-checking words",
        "words per response",
        "The ten words of the paper (wait, check, wrong ...) and their Chinese counterparts together",
        "They grow with the length, in the paper five to seven times; a sign, not a proof, of going back over work.",
        (trained_source("training", "rollout/reflection_words"), held_out_source("held-out", "reflection_words")),
        stages=_WRITING,
    ),
    Curve(
        "The ten words",
        "words per response",
        "Each of the ten words, its Chinese counterparts counted with it, on a scale of its own",
        "Some appear late and then stay; in the paper, wait is rare for most of the run and then leaps up.",
        tuple(trained_source(word, f"reflection/{word}") for word in ENGLISH_WORDS),
        is_split=True,
    ),
    Curve(
        "Checking and correcting",
        "responses",
        "Share of responses that say they look again, and of those that say something was wrong and go on to another "
        "result",
        "Both appear, grow, and hold; checking that never corrects is a habit of speech.",
        (
            trained_source("correcting", "rollout/correcting_rate", series_colour(1)),
            trained_source("checking", "rollout/checking_rate", series_colour(0)),
        ),
        is_share=True,
    ),
    Curve(
        "One language",
        "words of the thought",
        "Share of the thought that is in the question's language",
        "It is near 100%; R1-Zero mixed languages, which a language reward mends at a small cost in accuracy.",
        (trained_source("training", "reward/language"), held_out_source("held-out", "language_consistency")),
        is_share=True,
        stages=_WRITING,
    ),
    Curve(
        "Requests answered without a thought",
        "responses",
        "Share of responses to requests without a rule that answer at once, as small talk wants",
        "It settles between 0% and 100%: small talk at once, the rest with a thought.",
        (trained_source("without a thought", "general/bare_rate"),),
        is_share=True,
        stages=(GENERAL,),
    ),
    Curve(
        "Length of responses to requests",
        "tokens",
        "Tokens of responses that reward models judge",
        "It stays moderate; a steady climb means that reward models like length.",
        (trained_source("training", "general/response_tokens"),),
        stages=(GENERAL,),
    ),
)
