"""A text that follows given IFEval constraints: what the self-check expects full marks for. Plain, but checked."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from thinkwright.rewards.verifiers.ifeval_constraints import count_words
from thinkwright.rewards.verifiers.instructions import InstructionsGold, followed, parse_instructions

# Words for what must be filled; those with a letter or in a word that is forbidden are left out.
_ENGLISH = (
    "this is what you asked for and we think that it will do good for all of you if you want to try it out at home "
    "with your own hands as it has all that is needed by those who are glad to work on such things day by day"
)
_SENTENCES = {
    "ar": "هذا هو النص الذي طلبته ونأمل أن يكون مفيدا لك في العمل كل يوم",
    "bg": "това е текстът който поискахте и се надяваме да ви бъде полезен всеки ден",
    "bn": "এটি সেই লেখা যা আপনি চেয়েছিলেন এবং আমরা আশা করি এটি আপনার কাজে লাগবে",
    "de": "das ist der Text den du haben wolltest und wir hoffen dass er dir bei der Arbeit hilft",
    "en": _ENGLISH,
    "es": "este es el texto que usted ha pedido y esperamos que le sea muy útil en su trabajo",
    "fa": "این همان متنی است که شما خواسته بودید و امیدواریم که برای شما مفید باشد",
    "fi": "tämä on teksti jota pyysit ja toivomme että siitä on sinulle hyötyä joka päivä",
    "fr": "voici le texte que vous avez demandé et nous espérons que cela vous sera très utile",
    "gu": "આ તે લખાણ છે જે તમે માંગ્યું હતું અને અમને આશા છે કે તે તમને ઉપયોગી થશે",
    "hi": "यह वही लेख है जो आपने माँगा था और हमें आशा है कि यह आपके काम में बहुत उपयोगी होगा",
    "it": "questo è il testo che avete chiesto e speriamo che vi sia molto utile nel vostro lavoro",
    "ja": "これはあなたが求めていた文章です お役に立てば幸いです",
    "kn": "ಇದು ನೀವು ಕೇಳಿದ ಬರಹ ಮತ್ತು ಇದು ನಿಮಗೆ ಉಪಯುಕ್ತವಾಗುತ್ತದೆ ಎಂದು ನಾವು ನಂಬುತ್ತೇವೆ",
    "ko": "이것은 당신이 요청한 글이며 우리는 이것이 당신에게 도움이 되기를 바랍니다",
    "mr": "हा तुम्ही मागितलेला मजकूर आहे आणि तो तुम्हाला तुमच्या कामात उपयोगी पडेल अशी आम्हाला आशा आहे",
    "ne": "यो तपाईंले माग्नुभएको लेख हो र यो तपाईंको काममा उपयोगी हुनेछ भन्ने हामी आशा गर्छौं",
    "pa": "ਇਹ ਉਹ ਲਿਖਤ ਹੈ ਜੋ ਤੁਸੀਂ ਮੰਗੀ ਸੀ ਅਤੇ ਸਾਨੂੰ ਉਮੀਦ ਹੈ ਕਿ ਇਹ ਤੁਹਾਡੇ ਕੰਮ ਆਵੇਗੀ",
    "pt": "este é o texto que você pediu e esperamos que ele seja muito útil para o seu trabalho",
    "ru": "это текст который вы просили и мы надеемся что он будет вам полезен каждый день",
    "sw": "haya ndiyo maandishi uliyoomba na tunatumaini kwamba yatakusaidia katika kazi yako ya kila siku",
    "ta": "இது நீங்கள் கேட்ட உரை மேலும் இது உங்களுக்கு பயனுள்ளதாக இருக்கும் என்று நம்புகிறோம்",
    "te": "ఇది మీరు అడిగిన వచనం మరియు ఇది మీకు ఉపయోగపడుతుందని మేము ఆశిస్తున్నాము",
    "th": "นี่คือข้อความที่คุณต้องการ และเราหวังว่ามันจะเป็นประโยชน์กับคุณ",
    "ur": "یہ وہ تحریر ہے جو آپ نے مانگی تھی اور ہمیں امید ہے کہ یہ آپ کے کام آئے گی",
    "vi": "đây là bài viết mà bạn đã yêu cầu và chúng tôi hy vọng rằng nó sẽ có ích cho bạn",
    "zh": "这 就是 你 要 的 文章 希望 它 对 你 的 工作 有 帮助",
}
_USUAL_WORDS = 14
_FOREIGN_WORDS = 90


@dataclass
class _Plan:
    """What the constraints ask for, put together."""

    vocabulary: list[str]
    core: list[str] = field(default_factory=list[str])
    """Words and marks that must stand in the text."""
    lines: list[str] = field(default_factory=list[str])
    """Lines of their own after the text: bullets, sections."""
    head: str = ""
    tail: list[str] = field(default_factory=list[str])
    num_words: int = _USUAL_WORDS
    num_sentences: int = 1
    separator: str = ""
    num_parts: int = 1
    first_word: tuple[int, str] | None = None
    is_upper: bool = False
    is_lower: bool = False
    is_quoted: bool = False
    is_json: bool = False


def satisfying_answer(gold: str) -> str | None:
    """A text that follows all constraints of the gold, or None if none was found (constraints may contradict)."""
    constraints = parse_instructions(gold)
    if constraints is None:
        return None
    for num_words in (None, 6, 3, 1, 0):
        plan = _plan(constraints, num_words)
        for text in (_write(plan, is_mixed=False), _write(plan, is_mixed=True)):
            if all(followed(text, constraints)):
                return text
    return None


def _plan(gold: InstructionsGold, num_words: int | None) -> _Plan:
    """The plan for some constraints; ``num_words`` of filling where they do not say."""
    all_arguments = dict(gold.constraints)
    language = all_arguments.get("language:response_language", {}).get("language", "en")
    plan = _Plan(_vocabulary(gold, _SENTENCES.get(language, _ENGLISH)))
    plan.num_words = _FOREIGN_WORDS if language != "en" else _USUAL_WORDS
    plan.num_words = plan.num_words if num_words is None else num_words
    for name, arguments in gold.constraints:
        kind = name.partition(":")[2]
        _add_words(plan, kind, arguments)
        _add_shape(plan, kind, arguments)
    return plan


def _vocabulary(gold: InstructionsGold, sentence: str) -> list[str]:
    """The words of the sentence without what the constraints limit."""
    limited: list[str] = []
    for _, arguments in gold.constraints:
        if arguments.get("let_relation") == "less than":
            limited.append(arguments["letter"])
        if arguments.get("relation") == "less than" and "keyword" in arguments:
            limited.append(arguments["keyword"])
        limited += arguments.get("forbidden_words", [])
    words = [word for word in sentence.split() if not any(part.lower() in word.lower() for part in limited)]
    return words or ["ok"]


def _add_words(plan: _Plan, kind: str, arguments: dict[str, Any]) -> None:
    """What must stand in the text or count in it."""
    is_least = "less than" not in arguments.values()
    match kind:
        case "existence":
            plan.core += [word for word in arguments["keywords"] if word not in plan.core]
        case "frequency" if is_least:
            plan.core += [arguments["keyword"]] * arguments["frequency"]
        case "letter_frequency" if is_least:
            plan.core.append(arguments["letter"] * arguments["let_frequency"])
        case "capital_word_frequency" if is_least:
            plan.core += ["YES"] * arguments["capital_frequency"]
        case "number_highlighted_sections":
            plan.core += [f"*{plan.vocabulary[0]}*"] * arguments["num_highlights"]
        case "number_placeholders":
            plan.core += [f"[{plan.vocabulary[0]}]"] * arguments["num_placeholders"]
        case "title":
            plan.core.append(f"<<{plan.vocabulary[0]}>>")
        case "constrained_response":
            plan.core.append("My answer is yes.")
        case "number_words":
            bound = arguments["num_words"]
            plan.num_words = max(plan.num_words, bound) if is_least else min(plan.num_words, bound - 1)
        case "number_sentences" if is_least:
            plan.num_sentences = arguments["num_sentences"]
        case _:
            pass


def _add_shape(plan: _Plan, kind: str, arguments: dict[str, Any]) -> None:
    """How the text is laid out."""
    match kind:
        case "number_bullet_lists":
            plan.lines += [f"- {plan.vocabulary[0]}"] * arguments["num_bullets"]
        case "multiple_sections":
            sections = range(1, arguments["num_sections"] + 1)
            plan.lines += [f"{arguments['section_spliter']} {i}\n{plan.vocabulary[0]}" for i in sections]
        case "number_paragraphs":
            plan.separator, plan.num_parts = "\n***\n", arguments["num_paragraphs"]
        case "nth_paragraph_first_word":
            plan.separator, plan.num_parts = "\n\n", arguments["num_paragraphs"]
            plan.first_word = (arguments["nth_paragraph"] - 1, arguments["first_word"])
        case "two_responses":
            plan.separator, plan.num_parts = "\n******\n", 2
        case "repeat_prompt":
            plan.head = arguments["prompt_to_repeat"].strip()
        case "postscript":
            plan.tail.insert(0, f"{arguments['postscript_marker']} {plan.vocabulary[0]}")
        case "end_checker":
            plan.tail.append(arguments["end_phrase"])
        case "english_capital" | "english_lowercase":
            plan.is_upper, plan.is_lower = kind == "english_capital", kind == "english_lowercase"
        case "quotation":
            plan.is_quoted = True
        case "json_format":
            plan.is_json = True
        case _:
            pass


def _write(plan: _Plan, is_mixed: bool) -> str:
    """The text of a plan. ``is_mixed``: what must stand in it is spread between filling words."""
    vocabulary = _endless(plan.vocabulary)
    core = [part for word in plan.core for part in ((next(vocabulary), word) if is_mixed else (word,))]
    parts = [[*core], *([next(vocabulary)] for _ in range(plan.num_parts - 1))]
    if plan.num_parts > 1:
        parts[1].append(next(vocabulary))  # or the second of two responses could equal the first
    if plan.first_word is not None:
        parts[plan.first_word[0]].insert(0, plan.first_word[1])
    sentences = [f"{next(vocabulary)} {next(vocabulary)}." for _ in range(plan.num_sentences - 1)]
    missing = plan.num_words - sum(count_words(" ".join(part)) for part in (*parts, sentences))
    filling = [next(vocabulary) for _ in range(max(missing, not parts[0]))]
    parts[0] = [*sentences, *parts[0], *filling]
    text = plan.separator.join(" ".join(part) for part in parts)
    text = "\n".join(part for part in (plan.head, text, *plan.lines, *plan.tail) if part)
    # At the start of a line an asterisk would be a bullet.
    text = re.sub(r"(?m)^(?=\*[^*])", f"{plan.vocabulary[0]} ", text)
    text = text.upper() if plan.is_upper else text.lower() if plan.is_lower else text
    text = json.dumps({"text": text}, ensure_ascii=False) if plan.is_json else text
    return f'"{text}"' if plan.is_quoted else text


def _endless(words: list[str]) -> Iterator[str]:
    while True:
        yield from words
