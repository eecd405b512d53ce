"""Suites of evaluation by name: which questions, and how DeepSeek-R1 was asked such ones.

Temperature 0.6, top-p 0.95, at most 32,768 tokens, no system prompt, 4 to 64 samples a question (DeepSeek-R1,
arXiv:2501.12948v1, section 3): the fewer the questions, the more samples.
"""

from dataclasses import dataclass

from thinkwright.config.tasks import SetName

TINY_WORLD = "tiny_world"
TEMPERATURE, TOP_P = 0.6, 0.95
R1_TOKENS, TINY_TOKENS = 32_768, 192


@dataclass(frozen=True)
class Suite:
    """Held-out questions and how they are sampled unless the command says otherwise."""

    samples: int
    """Completions a question."""
    max_response_tokens: int = R1_TOKENS
    """Less where the model's context does not hold as many."""


SUITES: dict[SetName | str, Suite] = {
    TINY_WORLD: Suite(16, TINY_TOKENS),
    "aime": Suite(64),
    "amc23": Suite(64),
    "bbh": Suite(4),
    "cmath": Suite(4),
    "college_math": Suite(4),
    "countdown": Suite(4),
    "cruxeval": Suite(4),
    "game24": Suite(4),
    "gsm8k": Suite(4),
    "ifeval": Suite(4),
    "knights_and_knaves": Suite(4),
    "leetcode": Suite(16),
    "math": Suite(4),
    "mbpp": Suite(4),
    "mgsm": Suite(4),
    "mmlu_stem": Suite(4),
    "olympiadbench": Suite(4),
    "svamp": Suite(4),
    "xstest": Suite(4),
}
"""The tiny world, and sets of ``tasks/sets`` with held-out rows."""
