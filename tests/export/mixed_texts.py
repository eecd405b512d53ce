"""Texts of all sorts, the same for the same seed: what two tokenizers must agree on."""

from random import Random

from thinkwright.chat.template import TEMPLATES

# All in Unicode's composed form: llama.cpp does not compose.
_PIECES = (
    "What is 12 + 7 - 3?",
    "小明有3个苹果，又买了5个。",
    "真的吗？“是的”，他说……",
    "ひらがなとカタカナ",
    "한국어 문장입니다",
    "Größe, naïve, façade, Ångström",
    "Привет, мир",
    "مرحبا بالعالم",
    "🙂👍🏽👩‍👩‍👧🇨🇳",
    "def f(x):\n\treturn x ** 2  # square\n",
    "if (a[i] != b) { i += 1; }",
    "don't WE'LL I'M they've 'tis",
    "\\frac{1}{2} \\boxed{42} $x^2$",
    "3.14159 1,000,000 0x1F 007",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "< think >",
    "<|endoftext|>",
    " ",
    "   ",
    "\n",
    "\n\n\n",
    "\r\n",
    "\t",
    "\u3000",
    "\u00a0",
    "a" * 30,
    "=" * 20,
    "...!!!???",
    "\u200b",
    "½ ² ٣ Ⅳ",
)


def mixed_texts(count: int, seed: int = 0) -> list[str]:
    """One to eight pieces each, put together with nothing or a blank between; some as a prompt of ours."""
    rng = Random(seed)
    texts = []
    for number in range(count):
        pieces = rng.choices(_PIECES, k=rng.randint(1, 8))
        text = rng.choice(("", " ")).join(pieces)
        texts.append(TEMPLATES["think_summary"].prompt(text) if number % 10 == 0 else text)
    return texts
