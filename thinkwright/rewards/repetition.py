"""A penalty for saying the same thing again and again."""

import re

from thinkwright.errors import RecipeError

# A Chinese, Japanese or Thai character is a word of its own: those scripts have no spaces.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def repetition_penalty(text: str, ngram_size: int = 20, max_penalty: float = -1.0) -> float:
    """``max_penalty`` times the share of n-grams of words that stood there before; 0 for a text shorter than one.

    The measure of "Demystifying Long Chain-of-Thought Reasoning" (arXiv:2502.03373, appendix D), which counts tokens,
    as a share of the whole. Signs are words too, so that a row of dashes is a repetition.
    """
    if ngram_size < 1 or max_penalty > 0:
        raise RecipeError(
            f"ngram_size must be at least 1 and max_penalty at most 0, not {ngram_size} and {max_penalty}"
        )
    words = _WORD.findall(text.casefold())
    num_ngrams = len(words) - ngram_size + 1
    if num_ngrams < 1:
        return 0.0
    distinct = len({tuple(words[i : i + ngram_size]) for i in range(num_ngrams)})
    num_repeated = num_ngrams - distinct
    return max_penalty * num_repeated / num_ngrams if num_repeated else 0.0
