"""The templates: how a question is put, how a reply is told apart, how a perfect one is written.

The only place that knows the tags. Every function is linear in the length of a completion, whatever that holds.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

# DeepSeek-R1 (arXiv:2501.12948v1), table 1, word for word; plain text for a base model, no chat tokens.
R1_ZERO_PREAMBLE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., "
    "<think> reasoning process here </think> <answer> answer here </answer>."
)
# The reply of DeepSeek-R1 itself (section 2.3.1): a thought, then a summary for the reader. Our words.
THINK_SUMMARY_PREAMBLE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind, enclosed within <think> </think> tags, and then writes a "
    "summary for the user that states the answer, i.e., <think> reasoning process here </think> summary here."
)
# The line that the model card of DeepSeek-R1 asks to put into prompts.
BOXED_INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
NEXT_TURNS = ("\n User:", "\nUser:")
"""What the next question begins with after worked examples: a completion that goes on to it has ended before."""
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

# A letter or digit that can be seen: Hangul fillers count as letters in Unicode but are blank.
_VISIBLE = re.compile(r"[^\W_\u115f\u1160\u3164\uffa0]")
# The look behind keeps a row of backslashes from being read again from each of them.
_BOX_OR_BRACE = re.compile(r"(?P<box>(?<!\\)\\++(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A completion told apart."""

    thought: str
    answer: str | None
    """What the verifier reads: the visible part after the thought; None if there is no such thing."""
    is_well_formed: bool
    """Exactly what the template asks for, nothing outside it, and a thought that says something."""
    is_bare: bool = False
    """An answer without a thought, in a template that has a form for that."""


@dataclass(frozen=True)
class Template:
    """One way to ask for a thought and an answer."""

    name: str
    turn: Callable[[str], str]
    """A question as it is put in the conversation, ``prefill`` included."""
    split: Callable[[str], Reply]
    """Tell a completion apart."""
    write: Callable[[str, str], str]
    """What a perfect model would emit after the prompt, of a thought and an answer without tags in them."""
    write_bare: Callable[[str], str] | None = None
    """What a model would emit that answers without a thought; None if the template has no form for that."""
    preamble: str = ""
    """What stands before the conversation."""
    prefill: str = ""
    """Text at the end of the prompt that the completion goes on from."""
    thought_start: str = "<think>"
    """What a completion begins with, up to the first word of its thought."""
    thought_end: str = "</think>"
    """What shows that the thought has ended."""
    answer_start: str = " </think>"
    """What ends a thought that is stopped, up to the first word of the answer."""

    def prompt(self, question: str) -> str:
        """The prompt for a question."""
        return self.preamble + self.turn(question)

    def few_shot_prompt(self, shown: Sequence[tuple[str, str, str]], question: str) -> str:
        """The prompt for a question after worked examples (question, thought, answer)."""
        turns = [f"{self.turn(asked)}{self.write(thought, answer)}\n" for asked, thought, answer in shown]
        return f"{self.preamble}{''.join(turns)}{self.turn(question)}"


def r1_zero_prompt(question: str) -> str:
    """The prompt for a base model."""
    return f"{R1_ZERO_PREAMBLE}{conversation_turn(question)}"


def conversation_turn(question: str) -> str:
    """The part of the prompt that follows the preamble."""
    return f" User: {question} Assistant:"


def split_reply(completion: str) -> Reply:
    """Tell thought and answer apart; an answer counts only after a closed thought.

    Well formed is exactly one ordered pair of each tag, nothing but blanks outside them, and a letter or digit in the
    thought. A completion that is not still yields its thought (everything up to ``</think>``, or all of it), so that
    a person can read it, but an answer only if one follows the first ``</think>``.
    """
    head, closed, tail = completion.partition("</think>")
    answers = _answers(tail) if closed else []
    answer = answers[0].strip() if len(answers) == 1 else None
    is_well_formed = (
        all(completion.count(tag) == 1 for tag in TAGS)
        and head.lstrip().startswith("<think>")
        and tail.lstrip().startswith("<answer>")
        and tail.rstrip().endswith("</answer>")
        and _says_something(head.replace("<think>", "", 1))
    )
    return Reply(head.replace("<think>", "").strip(), answer, is_well_formed)


def _split_think_summary(completion: str) -> Reply:
    """One thought, nothing before it, and something after it, which is the answer.

    A completion that is not well formed yields an answer if exactly one ``</think>`` stands before it, or if it has no
    tag of a thought at all: then it is an answer without a thought.
    """
    head, closed, tail = completion.partition("</think>")
    if not closed and "<think>" not in completion:
        return Reply("", completion.strip() or None, is_well_formed=False, is_bare=_says_something(completion))
    is_single = completion.count("</think>") == 1
    summary = tail.strip() if is_single and "<think>" not in tail else ""
    is_well_formed = (
        completion.count("<think>") == 1
        and head.lstrip().startswith("<think>")
        and _says_something(head.replace("<think>", "", 1))
        and _says_something(summary)
    )
    return Reply(head.replace("<think>", "").strip(), summary or None, is_well_formed)


def _split_boxed(completion: str) -> Reply:
    """The thought is what stands before the last box; the answer is everything, for the verifier to find the box in.

    Well formed is a thought and then a closed box that is not empty, whatever follows it. Earlier boxes are part of the
    thought.
    """
    box = find_last_box(completion)
    if box is None:
        return Reply(completion.strip(), completion.strip() or None, is_well_formed=False)
    start, content = box
    thought = completion[:start].strip()
    return Reply(thought, completion.strip(), is_well_formed=_says_something(thought) and bool(content.strip()))


def find_last_box(text: str) -> tuple[int, str] | None:
    """Where the last closed ``\\boxed{...}`` begins, and what it holds; of nested ones the outer; None without any.

    Braces are matched as LaTeX does, a backslash before one taking it out of the count; one pass, no recursion.
    """
    opened: list[tuple[int, int] | None] = []  # of each open brace: where the box starts and ends, or None if not one
    last: tuple[int, str] | None = None
    for token in _BOX_OR_BRACE.finditer(text):
        if token["box"]:
            opened.append(token.span())
        elif token["open"]:
            opened.append(None)
        elif token["close"] and opened and (box := opened.pop()):
            last = (box[0], text[box[1] : token.start()])
    return last


def _write_boxed(thought: str, answer: str) -> str:
    """Braces of an answer that do not pair up are escaped, as LaTeX needs it, and a last backslash gets a blank."""
    start = f" {thought} "
    escaped = re.sub(r"(?s)\\.|[{}]", lambda found: found[0] if found[0][0] == "\\" else f"\\{found[0]}", answer)
    attempts = (f"\\boxed{{{content}}}" for content in (answer, escaped, f"{escaped} "))
    return next(
        (start + box for box in attempts if find_last_box(start + box) == (len(start), box[len("\\boxed{") : -1])),
        f"{start}\\boxed{{{answer}}}",
    )


def _answers(tail: str) -> list[str]:
    """The first one or two texts between answer tags; a third does not matter."""
    found: list[str] = []
    position = 0
    while len(found) < 2:
        start = tail.find("<answer>", position)
        end = tail.find("</answer>", start + len("<answer>")) if start >= 0 else -1
        if end < 0:
            break
        found.append(tail[start + len("<answer>") : end])
        position = end + len("</answer>")
    return found


def _says_something(text: str) -> bool:
    return _VISIBLE.search(text) is not None


def _prefilled(template: Template) -> Template:
    """The same with the thought begun in the prompt: one more ``<think>`` in a completion spoils it."""
    return replace(
        template,
        name=f"{template.name}_prefilled",
        turn=lambda question: f"{template.turn(question)} <think>",
        split=lambda completion: template.split(f"<think>{completion}"),
        write=lambda thought, answer: template.write(thought, answer).removeprefix(" <think>"),
        write_bare=None,
        prefill="<think>",
        thought_start="",
    )


_R1_ZERO = Template(
    name="r1_zero",
    preamble=R1_ZERO_PREAMBLE,
    turn=conversation_turn,
    split=split_reply,
    write=lambda thought, answer: f" <think> {thought} </think> <answer> {answer} </answer>",
    answer_start=" </think> <answer>",
)
_THINK_SUMMARY = Template(
    name="think_summary",
    preamble=THINK_SUMMARY_PREAMBLE,
    turn=conversation_turn,
    split=_split_think_summary,
    write=lambda thought, answer: f" <think> {thought} </think> {answer}",
    write_bare=lambda answer: f" {answer}",
)
_BOXED = Template(
    name="boxed",
    turn=lambda question: conversation_turn(f"{question} {BOXED_INSTRUCTION}").lstrip(),
    thought_start=" ",
    split=_split_boxed,
    write=_write_boxed,
    thought_end="\\boxed{",
    answer_start=" \\boxed{",
)
TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (_R1_ZERO, _prefilled(_R1_ZERO), _THINK_SUMMARY, _prefilled(_THINK_SUMMARY), _BOXED)
}
