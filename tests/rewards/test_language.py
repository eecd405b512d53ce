"""Share of words in the right language, and which language a text is in."""

import gzip
import json
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkwright.errors import DataError
from thinkwright.rewards.identify import is_japanese
from thinkwright.rewards.language import LANGUAGES, detect_language, language_consistency, question_words
from thinkwright.rewards.prose import prose_of
from thinkwright.rewards.scripts import find_words

ENGLISH = "First we count the apples in the basket. Then we subtract the ones that were eaten by the children."
GERMAN = "Zuerst zählen wir die Äpfel im Korb. Dann ziehen wir die ab, die von den Kindern gegessen wurden."
SPANISH = "Primero contamos las manzanas de la cesta. Después restamos las que se comieron los niños."
RUSSIAN = "Сначала посчитаем яблоки в корзине. Потом мы вычтем все те яблоки, которые были съедены детьми."
UKRAINIAN = "Спочатку порахуємо яблука у кошику. Потім ми віднімемо всі ті яблука, які були з'їдені дітьми."
CHINESE = "首先我们数一数篮子里的苹果。然后减去孩子们吃掉的那些。"
JAPANESE = "まず、かごの中のりんごを数えます。次に、子どもたちが食べたものを引きます。"
KOREAN = "먼저 바구니에 있는 사과를 셉니다. 그런 다음 아이들이 먹은 것을 뺍니다."
THAI = "ก่อนอื่นเรานับแอปเปิลในตะกร้า จากนั้นลบส่วนที่เด็กๆ กินไป"
HINDI = "पहले हम टोकरी में सेब गिनते हैं। फिर बच्चों द्वारा खाए गए सेब घटाते हैं।"
ARABIC = "أولا نعد التفاحات الموجودة في السلة. ثم نطرح منها كل ما أكله الأطفال بعد الظهر في حديقة المنزل."
PERSIAN = "ابتدا سیب‌های داخل سبد را می‌شماریم. سپس آنهایی را که بچه‌ها خورده‌اند کم می‌کنیم."
THOUGHTS = {
    "en": ENGLISH, "de": GERMAN, "es": SPANISH, "ru": RUSSIAN, "uk": UKRAINIAN, "zh": CHINESE, "ja": JAPANESE,
    "ko": KOREAN, "th": THAI, "hi": HINDI, "ar": ARABIC, "fa": PERSIAN,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("let me check 3+4=7", "en", 1.0),
        ("let me check 3+4=7", "zh", 0.0),
        ("慢慢算", "zh", 1.0),
        ("wait 等等 don't", "en", 2 / 4),
        ("wait 等等 don't", "zh", 2 / 4),
        ("wait等等", "zh", 2 / 3),
        ("3个笔", "zh", 1.0),
        ("caf\u00e9 \u043c\u0438\u0440", "en", 1 / 2),
        ("just a feeling 对", "en", 3 / 4),
        ("हिन्दी में", "hi", 1.0),
        ("ab\u0301c\u0301 мир", "en", 1 / 2),
    ],
)
def test_share_counts_a_chinese_character_and_a_run_of_letters_as_a_word(
    text: str, language: str, share: float
) -> None:
    assert language_consistency(text, language) == share


@pytest.mark.parametrize(
    "text", ["", "3+4=7", "<think></think>", "A B C", "lambda x: 3*x", "f(3)=4", "x1 a_b abs(2)", "，。", "𝑥 + 𝐲 µ Ω"]
)
def test_text_without_words_is_consistent(text: str) -> None:
    assert language_consistency(text, "zh") == 1.0
    assert language_consistency(text, "en") == 1.0


def test_names_of_the_question_do_not_count_either_way() -> None:
    ignore = question_words("Amy beats Ben. Who is second?")
    assert language_consistency("Amy胜Ben：Ben第二", "en", ignore) == 0.0
    assert language_consistency("Amy胜Ben：Ben第二", "zh", ignore) == 1.0
    assert language_consistency("so BEN is last", "en", ignore) == 1.0


def test_words_of_a_question_are_lower_cased_and_without_code() -> None:
    assert question_words("Cards A B C: swap. f(0)=3, Amy说") == frozenset({"cards", "swap", "amy", "说"})


def test_a_language_without_a_rule_is_an_error_that_lists_those_with_one() -> None:
    with pytest.raises(DataError, match=r"'tlh'.*'en'.*'zh'"):
        language_consistency("Qapla", "tlh")


def test_norwegian_may_be_called_by_its_written_form() -> None:
    text = "Først teller vi eplene i kurven, og så trekker vi fra dem som barna spiste."
    assert language_consistency(text, "nb") == language_consistency(text, "no") == 1.0


@pytest.mark.parametrize("language", THOUGHTS)
def test_a_thought_is_in_its_own_language_and_in_no_other(language: str) -> None:
    assert detect_language(THOUGHTS[language]) == language
    for other in THOUGHTS:
        assert language_consistency(THOUGHTS[language], other) == float(other == language), other


@pytest.mark.parametrize(("own", "other"), [("en", "de"), ("de", "es"), ("ru", "uk"), ("ar", "fa"), ("zh", "ja")])
def test_a_thought_half_in_each_language_is_about_half_consistent(own: str, other: str) -> None:
    text = f"{THOUGHTS[own]}\n{THOUGHTS[other]}"
    assert 0.35 < language_consistency(text, own) < 0.65
    assert language_consistency(text, own) + language_consistency(text, other) == pytest.approx(1.0)


def test_one_sentence_without_a_stop_is_judged_in_pieces() -> None:
    english, german = (" ".join(text.replace(".", "").split() * 10) for text in (ENGLISH, GERMAN))
    assert language_consistency(f"{english} {german}", "en") == pytest.approx(0.5, abs=0.1)


def test_many_short_sentences_in_another_language_do_not_pass_as_too_short_to_tell() -> None:
    assert language_consistency("Nein. Warte mal. Gut so. Das stimmt nicht. Also noch einmal. Ja, genau.", "en") == 0.0
    assert language_consistency("Nein.", "en") == 1.0


def test_chinese_characters_alone_are_chinese_unless_few_beside_kana() -> None:
    assert language_consistency("首先我们数一数篮子里的苹果", "ja") == 0.0
    assert language_consistency(f"{JAPANESE}\n東京都", "ja") == 1.0
    assert language_consistency(f"{JAPANESE}\n{CHINESE}", "ja") < 0.7


CODE = (
    "```python\ndef solve(numbers):\n    total = sum(numbers)  # add all numbers\n    return total / len(numbers)\n```"
)


@pytest.mark.parametrize(
    "part",
    [
        CODE,
        CODE.removesuffix("```"),
        "`for number in numbers`",
        r"$\frac{apples}{baskets} = \text{ratio}$",
        r"$$\sum_{i=1}^{n} cost_i \le budget$$",
        r"\(speed = \frac{distance}{time}\)",
        r"\[ \mathrm{speed} \times \mathrm{time} \]",
        "\\begin{align}\nspeed &= distance \\\\\n\\end{align}",
        r"\alpha + \boxed{42} \cdot \sqrt{2}",
        "https://example.org/how-to-count-apples?page=two",
        "someone.else@example.org",
        "“how many apples are left”",
        '"how many apples are left"',
        "「how many apples」",
        "«how many»",
        "sin x + log y + gcd",
        "n = a + b",
    ],
)
def test_code_formulas_addresses_and_quotes_do_not_count_against_a_chinese_thought(part: str) -> None:
    assert language_consistency(f"{CHINESE}\n{part}\n{CHINESE}", "zh") == 1.0


def test_a_thought_that_is_mostly_formulas_is_judged_by_its_words() -> None:
    formulas = r"设 $x+y=10$，则 $\frac{x}{y}=\frac{3}{2}$，所以 $x = 6, y = 4$，即 \[x \cdot y = 24 \text{ apples}\]。"
    assert language_consistency(formulas * 20, "zh") == 1.0
    assert language_consistency(formulas * 20, "en") == 0.0


@pytest.mark.parametrize(
    "hidden",
    [f"```\n{ENGLISH}\n```", f"`{ENGLISH}`", f"${ENGLISH}$", f"\\[{ENGLISH}\\]", f'"{ENGLISH}"', f"“{ENGLISH}”"],
)
def test_a_thought_cannot_be_hidden_in_marks_of_code_or_formulas_or_quotes(hidden: str) -> None:
    assert language_consistency(f"{hidden}\n数一数", "zh") < 0.3


@pytest.mark.parametrize("marks", ["``", "$$", "```\n\n```", "\\[\\]"])
@pytest.mark.parametrize(
    "sentence", ["我们先把这个问题想清楚然后一步一步地算出结果", "先数一数", "Сначала мы посчитаем яблоки"]
)
def test_a_thought_cannot_be_hidden_in_many_short_pieces(marks: str, sentence: str) -> None:
    opening, closing = marks[: len(marks) // 2], marks[len(marks) // 2 :]
    hidden = "\n".join([f"{opening}{sentence}{closing}"] * 50)
    assert language_consistency(hidden, "en") < 0.1
    assert language_consistency(f"{ENGLISH}\n{hidden}", "en") < 0.5


def test_names_in_code_do_not_count_while_they_are_fewer_than_the_words() -> None:
    assert language_consistency(f"{CHINESE}用 `total` 和 `price`，设 $AB$ 与 $CD$ 平行，`for`" * 5, "zh") == 1.0


def test_two_prices_do_not_make_a_formula_of_the_sentence_between() -> None:
    text = "The first one costs $5 and the children who went to the market have only 3 or $4 with them today"
    assert language_consistency(text, "zh") == 0.0


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("3 + 4 = ?", "en"),
        ("Find $x$.", "en"),
        ("Berechne die Summe aller Zahlen von 1 bis 100.", "de"),
        ("用 Python 写一个函数 sort_list 排序", "zh"),
        ("リストをソートするPython関数を書いてください", "ja"),
        (r"求 $\frac{apples}{baskets}$ 的值", "zh"),
    ],
)
def test_the_language_of_a_question_is_that_of_its_words(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_a_text_too_short_to_tell_is_in_the_usual_language() -> None:
    assert detect_language("ok", usual="de") == "de"
    assert detect_language("123", usual="ja") == "ja"


@pytest.mark.parametrize(
    "unit", ["a", "a ", "'a", "\\[", "$", '"', "«", "`", "<", ".", "a@", "慢", "ก็", "a\u0301", "\\begin{a}", "Wort. "]
)
def test_a_megabyte_of_anything_takes_seconds_at_most(unit: str) -> None:
    started = time.process_time()
    language_consistency(unit * (1_000_000 // len(unit)), "en")
    detect_language(unit * (1_000_000 // len(unit)))
    assert time.process_time() - started < 10


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.sampled_from(sorted(LANGUAGES)))
def test_any_text_has_a_share_between_zero_and_one_and_a_known_language(text: str, language: str) -> None:
    assert 0.0 <= language_consistency(text, language) <= 1.0
    assert detect_language(text) in LANGUAGES


def test_a_lone_surrogate_is_no_word() -> None:
    assert language_consistency("\ud800", "en") == 1.0


def _sentences(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    with gzip.open(folder / "language_sentences" / "sentences_75x300.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found[row["lang"]].append(row["text"])
    return found


def test_five_sentences_of_a_language_are_consistent_with_it_and_not_with_its_script_mates(data_folder: Path) -> None:
    sentences = _sentences(data_folder)
    for language, other in [("en", "de"), ("fr", "es"), ("pt", "it"), ("ru", "bg"), ("tr", "az"), ("zh", "ja")]:
        thoughts = ["\n".join(sentences[language][i : i + 5]) for i in range(0, 100, 5)]
        assert fmean(language_consistency(thought, language) for thought in thoughts) > 0.95
        assert fmean(language_consistency(thought, other) for thought in thoughts) < 0.05


def test_word_problems_are_detected_in_their_language(data_folder: Path) -> None:
    with gzip.open(data_folder / "mgsm" / "mgsm_11_languages.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][::10]
    assert fmean(detect_language(row["question"]) == row["lang"] for row in rows) > 0.98


def test_a_few_words_over_and_over_are_too_few_to_tell_by() -> None:
    assert language_consistency("step by step\n" + "swap C B A\nswap B C A\nflip A B C\n" * 20, "en") == 1.0
    assert language_consistency("Das stimmt aber überhaupt nicht. " * 20, "en") == 0.0


@pytest.mark.parametrize(
    ("num_han", "num_kana", "found"), [(0, 0, False), (0, 1, True), (9, 1, True), (10, 1, False), (18, 2, True)]
)
def test_a_tenth_of_kana_makes_a_text_japanese(num_han: int, num_kana: int, found: bool) -> None:
    assert is_japanese(num_han, num_kana) is found


def test_a_delimiter_that_nothing_closes_hides_no_formula_after_it() -> None:
    assert "velocity" not in prose_of(r"see \( here and $velocity+1$ next")
    assert prose_of(r"see \( here and $velocity+1$ next").split()[-1] == "next"


def test_ten_chinese_characters_between_fences_are_prose_and_nine_are_not() -> None:
    english = "and this is what the whole of the thought comes to in the end "
    assert "今" * 10 in prose_of(f"{english}```{'今' * 10}``` so")
    assert "今" not in prose_of(f"{english}```{'今' * 9}``` so")


def test_letters_of_other_scripts_are_words_and_modifiers_belong_to_the_letter_before() -> None:
    assert list(find_words("ᏣᎳᎩ aʰb ½ µ")) == [("ᏣᎳᎩ", "?"), ("aʰb", "L")]
    assert list(find_words("Ａｂ ab")) == [("Ａｂ", "L"), ("ab", "L")]
    assert list(find_words("ｶ ﾡ カ 가")) == [("ｶ", "J"), ("ﾡ", "K"), ("カ", "J"), ("가", "K")]


def test_a_mark_that_repeats_a_chinese_character_is_chinese() -> None:
    assert len([*find_words("人々")]) == len([*find_words("人人")])
