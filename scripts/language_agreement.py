"""How well the language rules agree with labelled text; prints the tables of docs/rewards/language.md in Markdown.

python scripts/language_agreement.py ../shared/data [LANGUAGE ...]

Without languages: the 20 largest, all others, and word problems; with some, only their rows.
"""

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from thinkwright.rewards.identify import is_same_standard
from thinkwright.rewards.language import LANGUAGES, checked_language, detect_language, language_consistency
from thinkwright.rewards.prose import prose_of
from thinkwright.rewards.scripts import LANGUAGES_OF, find_words

LARGEST = [
    "en", "zh", "hi", "es", "ar", "fr", "bn", "pt", "ru", "id", "ur", "de", "ja", "mr", "vi", "te", "tr", "sw", "tl",
    "ta",
]  # fmt: skip
"""The 20 languages of the data with the most speakers, first and second language together."""
NUM_JOINED = 5
NUM_THOUGHTS = 12

Sentences = dict[str, list[str]]


def main() -> int:
    """Print all tables."""
    data = Path(sys.argv[1])
    sentences = _by_language(data / "language_sentences" / "sentences_75x300.jsonl.gz", "text")
    unsupported = sorted(language for language in sentences if _name(language) not in LANGUAGES)
    sentences = {language: texts for language, texts in sentences.items() if language not in unsupported}
    if chosen := sys.argv[2:]:
        _print_table(chosen, sentences)
        return 0
    rest = sorted(set(sentences) - set(LARGEST))
    print(f"Not supported: {', '.join(unsupported)}\n\n## The 20 largest\n")
    _print_table(LARGEST, sentences)
    print("\n## The others\n")
    _print_table(rest, sentences)
    print("\n## Word problems\n\n| set | texts | detected | own language |\n| --- | --- | --- | --- |")
    problems = _by_language(data / "mgsm" / "mgsm_11_languages.jsonl.gz", "question")
    for language, texts in problems.items():
        print(f"| mgsm {language} | {len(texts)} | {_detected(texts, language):.1%} | {_own(texts, language):.3f} |")
    texts = [json.loads(line)["input"] for line in (data / "cmath" / "cmath_dev.jsonl").open(encoding="utf-8")]
    print(f"| cmath | {len(texts)} | {_detected(texts, 'zh'):.1%} | {_own(texts, 'zh'):.3f} |")
    return 0


def _row(language: str, sentences: Sentences) -> list[str]:
    texts = sentences[language]
    detected = [detect_language(text) for text in texts]
    exact = fmean(found == _name(language) for found in detected)
    close = fmean(is_same_standard(found, _name(language)) for found in detected)
    thoughts = list(_thoughts(texts))
    rivals = {
        other: fmean(language_consistency(thought, other) for thought in thoughts[:NUM_THOUGHTS])
        for other in sentences
        if _share_script(language, other) and not is_same_standard(_name(language), _name(other))
    }
    nearest = max(rivals, key=lambda other: rivals[other], default="")
    mixed, true_share = _mixed(texts, sentences["de" if language == "en" else "en"], language)
    return [
        f"{exact:.1%}",
        f"{close:.1%}",
        f"{_own(texts, language):.3f}",
        f"{_own(thoughts, language):.3f}",
        f"{fmean(rivals.values()):.3f}" if rivals else "-",
        f"{rivals[nearest]:.3f} ({nearest})" if rivals else "-",
        f"{mixed:.2f} ({true_share:.2f})",
    ]


def _mixed(texts: list[str], others: list[str], language: str) -> tuple[float, float]:
    """Mean consistency of thoughts of alternating sentences of two languages, and the true share of words."""
    found: list[float] = []
    true: list[float] = []
    for own, other in zip(_thoughts(texts), _thoughts(others), strict=True):
        pairs = zip(own.split("\n"), other.split("\n"), strict=True)
        found.append(language_consistency("\n".join(text for pair in pairs for text in pair), language))
        num_own, num_other = (sum(1 for _ in find_words(prose_of(text))) for text in (own, other))
        true.append(num_own / max(1, num_own + num_other))
    return fmean(found), fmean(true)


def _detected(texts: list[str], language: str) -> float:
    return fmean(detect_language(text) == language for text in texts)


def _own(texts: list[str], language: str) -> float:
    return fmean(language_consistency(text, language) for text in texts)


def _thoughts(texts: list[str]) -> Iterator[str]:
    for start in range(0, len(texts), NUM_JOINED):
        yield "\n".join(" ".join(text.split()) for text in texts[start : start + NUM_JOINED])


def _share_script(language: str, other: str) -> bool:
    pair = {_name(language), _name(other)}
    return len(pair) == 2 and any(pair <= set(languages) for languages in LANGUAGES_OF.values())


def _name(language: str) -> str:
    return checked_language(language) if language in LANGUAGES or language == "nb" else language


def _print_table(languages: list[str], sentences: Sentences) -> None:
    print(
        "| language | detected | or its twin | own, sentence | own, 5 sentences | others, mean | nearest other | half |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for language in languages:
        print(f"| {language} | {' | '.join(_row(language, sentences))} |", flush=True)


def _by_language(path: Path, key: str) -> Sentences:
    found: Sentences = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found[row["lang"]].append(row[key])
    return dict(found)


if __name__ == "__main__":
    sys.exit(main())
