"""Charts that tell whether training is sound: distances, gradients, what teaches nothing."""

from thinkwright.report.charts import series_colour
from thinkwright.report.curves_form import TRAINED, Curve, trained_source

CURVES = (
    Curve(
        "Distance from the reference model",
        "KL, nats per token",
        "How far the model has moved from its reference, an earlier copy of itself",
        "It climbs slowly and levels off; a sudden climb with the reward flat is a reason to stop.",
        (trained_source("KL to reference", "policy/kl"),),
    ),
    Curve(
        "Undecidedness",
        "entropy, nats per token",
        "How open the choice of the next token is",
        "It falls and stays above 0; near 0 the model has stopped trying anything new, a climb means it falls apart.",
        (trained_source("entropy", "policy/entropy"),),
    ),
    Curve(
        "Clipped tokens",
        "share of tokens",
        "Share of tokens whose push was held back because one update would have changed them too much (clip fraction)",
        "It is a few percent at most; more means that steps are too large.",
        (trained_source("clip fraction", "policy/clip_fraction"),),
        is_share=True,
    ),
    Curve(
        "Sampler and trainer",
        "nats per token",
        "How far the trainer's log-probabilities of the sampled tokens are from the sampler's before the first update",
        "It stays near 0; a climb means that the model is trained on what it did not sample.",
        (trained_source("gap", "policy/logprob_gap"),),
    ),
    Curve(
        "Age of the samples",
        "steps",
        "How many steps' updates the weights that drew a token lacked, mean over tokens (asynchronous rollouts)",
        "It stays under rollout.max_staleness; near it, sampling is faster than learning.",
        (trained_source("staleness", "rollout/staleness"),),
        is_optional=True,
    ),
    Curve(
        "What the critic foretells",
        "share of variance",
        "How much of the differences in reward the critic expected before the tokens were drawn (explained variance)",
        "It climbs from 0 or below; at 0 the critic knows no more than the mean reward.",
        (trained_source("explained variance", "critic/explained_variance"),),
        is_optional=True,
    ),
    Curve(
        "Learned from the teacher",
        "probability",
        "How likely the policy finds a token of a teacher's trace, mean over tokens",
        "It climbs and levels off; at once near 1, the traces teach nothing new.",
        (trained_source("trace probability", "policy/trace_probability"),),
        is_share=True,
        is_optional=True,
    ),
    Curve(
        "Groups that teach nothing",
        "groups",
        "Share of groups whose rewards are all the same: every response right, or every one wrong",
        "All wrong falls, all right grows; together near 100%, the questions are too hard or too easy.",
        (
            trained_source("all wrong", "rollout/all_wrong_groups", series_colour(1)),
            trained_source("all right", "rollout/all_right_groups", series_colour(0)),
        ),
        is_share=True,
    ),
    Curve(
        "Responses that were not graded",
        "responses",
        "Share of responses that a grader failed on, took too long for, or could not compare; they teach nothing",
        "It is 0; a steady share means a verifier or rows to mend.",
        (
            trained_source("gold not readable", "reward/skipped", series_colour(2)),
            trained_source("too slow", "reward/timeouts", series_colour(1)),
            trained_source("failed", "reward/failed", series_colour(0)),
        ),
        is_share=True,
    ),
    Curve(
        "Gradient norm",
        "norm before clipping",
        "How strongly a step pulls at the weights",
        "It is level or falls, with small spikes; spikes that grow are the first sign of a collapse.",
        (trained_source("gradient norm", "optim/grad_norm"),),
        stages=TRAINED,
    ),
    Curve(
        "Learning rate",
        "rate",
        "How far a step goes along its gradient",
        "It follows the recipe: a warm-up, then constant or falling.",
        (trained_source("learning rate", "optim/lr"),),
        stages=TRAINED,
    ),
)
