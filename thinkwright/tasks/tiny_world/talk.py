"""Facts and small talk: questions for which thinking adds nothing."""

from random import Random

from thinkwright.tasks.tiny_world.puzzle import Puzzle

LEVELS = (1,)
_CAPITALS = {
    "en": {
        "France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Spain": "Madrid", "Egypt": "Cairo", "Peru": "Lima",
        "Kenya": "Nairobi", "Cuba": "Havana", "Norway": "Oslo", "Greece": "Athens", "Poland": "Warsaw",
        "India": "Delhi",
    },
    "zh": {
        "法国": "巴黎", "日本": "东京", "意大利": "罗马", "英国": "伦敦", "埃及": "开罗", "秘鲁": "利马",
        "德国": "柏林", "古巴": "哈瓦那", "挪威": "奥斯陆", "希腊": "雅典", "波兰": "华沙", "中国": "北京",
    },
}  # fmt: skip
_CAPITAL_QUESTIONS = {
    "en": ("Capital of {}?", "What is the capital of {}?", "Which city is the capital of {}?", "{}: its capital?"),
    "zh": ("{}的首都？", "{}的首都是哪里？", "哪座城是{}的首都？", "{}首都叫什么？"),
}
_ANIMALS = {
    "en": {"dog": "4", "bird": "2", "spider": "8", "ant": "6", "cat": "4", "hen": "2", "bee": "6", "horse": "4"},
    "zh": {"狗": "4", "鸟": "2", "蜘蛛": "8", "蚂蚁": "6", "猫": "4", "鸡": "2", "蜜蜂": "6", "马": "4"},
}
_ANIMAL_QUESTIONS = {
    "en": ("How many legs has a {}?", "Legs of a {}?", "A {} walks on how many legs?"),
    "zh": ("{}有几条腿？", "{}几条腿？", "一只{}有多少条腿？"),
}
_GREETINGS = {
    "en": {"Hi!": "Hello!", "Hello there.": "Hello!", "Good morning!": "Hello!", "Thank you!": "You are welcome.",
           "Thanks a lot.": "You are welcome.", "Bye!": "Goodbye.", "See you.": "Goodbye."},
    "zh": {"你好！": "你好！", "早上好！": "你好！", "您好。": "你好！", "谢谢！": "不客气。",
           "多谢。": "不客气。", "再见！": "再见。", "拜拜。": "再见。"},
}  # fmt: skip


def make_fact(rng: Random, level: int, language: str) -> Puzzle:
    """A capital or an animal's legs; there is one level."""
    if rng.random() < 0.6:
        subject, answer = rng.choice(tuple(_CAPITALS[language].items()))
        question = rng.choice(_CAPITAL_QUESTIONS[language]).format(subject)
        others = tuple(_CAPITALS[language].values())
        steps = {"en": (f"the capital of {subject} is {answer}",), "zh": (f"{subject}首都是{answer}",)}
    else:
        subject, answer = rng.choice(tuple(_ANIMALS[language].items()))
        question = rng.choice(_ANIMAL_QUESTIONS[language]).format(subject)
        others = ("2", "4", "6", "8")
        steps = {"en": (f"a {subject} has {answer} legs",), "zh": (f"{subject}有{answer}条腿",)}
    return _puzzle("facts", level, language, question, answer, steps, others)


def make_small_talk(rng: Random, level: int, language: str) -> Puzzle:
    """A greeting and its reply; there is one level."""
    question, answer = rng.choice(tuple(_GREETINGS[language].items()))
    steps = {"en": ("they are being polite",), "zh": ("这是问候",)}
    return _puzzle("small_talk", level, language, question, answer, steps, tuple(_GREETINGS[language].values()))


def _puzzle(
    family: str,
    level: int,
    language: str,
    question: str,
    answer: str,
    steps: dict[str, tuple[str, ...]],
    others: tuple[str, ...],
) -> Puzzle:
    return Puzzle(
        family=family,
        level=level,
        language=language,
        question=question,
        answer=answer,
        verifier="words",
        gold=answer,
        steps=steps,
        wrong=tuple(other for other in others if other != answer),
    )
