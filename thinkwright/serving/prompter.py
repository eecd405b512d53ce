"""Renders a conversation as the model was trained to read it, and knows whether that begins a thought."""

from functools import cached_property
from typing import Any

from jinja2 import TemplateError

from thinkwright.chat.formats import chat_format
from thinkwright.chat.template import TEMPLATES
from thinkwright.chat.thought_splitter import CLOSE, OPEN
from thinkwright.errors import ModelError
from thinkwright.models.token_tree import MIN_SHARED_PREFIX, common_prefix
from thinkwright.serving.ask import Ask, BadRequest, Message, Rendered

# As DeepSeek's and Qwen's templates write it.
_EMPTY_THOUGHT = "\n\n</think>\n\n"
_QUESTIONS = ("What", "1", "小", "(")  # that share no token
_OWN_THOUGHT_END = "\n</think>\n\n"
TOO_LONG = "context_length_exceeded"


class Prompter:
    """One model's tokenizer and template."""

    def __init__(self, tokenizer: Any, template: str | None) -> None:
        """``template``: the name of one of ours; None: the model's own. Raises ModelError if there is none."""
        self.tokenizer = tokenizer
        self.end_ids = frozenset[int]()
        if template is None:
            self.jinja = tokenizer.chat_template
            if not isinstance(self.jinja, str):
                raise ModelError(
                    "nothing says how this model was asked in training, and it brings no chat template; say it with "
                    f"--template {' or '.join(TEMPLATES)}"
                )
            self.has_thought = OPEN in self.jinja or CLOSE in self.jinja
            self._thought_end, self._answer_tags = _OWN_THOUGHT_END, ()
            return
        ours = TEMPLATES[template]
        found = chat_format(template, tokenizer.eos_token)
        self.jinja, self.has_thought = found.jinja, found.has_thought
        self._thought_end = ours.answer_start
        self._answer_tags = ("<answer>", "</answer>") if "<answer>" in ours.write("", "") else ()

    def render(self, ask: Ask, max_tokens: int | None = None) -> Rendered:
        """Raises BadRequest for what the template refuses, and for a text that is longer than ``max_tokens`` can be."""
        if ask.prompt is not None:
            text = ask.prompt if isinstance(ask.prompt, str) else ""
            ids = self._encode_short(text, max_tokens) if isinstance(ask.prompt, str) else ask.prompt
            return Rendered(text, ids, opens_thought=False, has_thought=False, thought_end="")
        text = self._conversation(ask.messages, is_on=ask.thinking.is_on)
        return Rendered(
            text,
            self._encode_short(text, max_tokens),
            # Both, so that a thought that is over before it began does not count.
            opens_thought=self.has_thought and text.rstrip().endswith(OPEN),
            # Where the prompt has closed the thought (thinking is off), a tag in the answer is text.
            has_thought=self.has_thought and not text.rstrip().endswith(CLOSE),
            thought_end=self._thought_end,
            answer_tags=self._answer_tags,
        )

    def head_ids(self) -> tuple[int, ...]:
        """Tokens that conversations begin with whatever is asked; empty if they hardly share any."""
        texts = [self._conversation((Message("user", question),), is_on=True) for question in _QUESTIONS]
        rows = [self.encode(text) for text in texts]
        shared = common_prefix(rows)
        return rows[0][:shared] if shared >= MIN_SHARED_PREFIX else ()

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids; nothing is added."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    @cached_property
    def _longest_token(self) -> int:
        """In characters, of which a byte-level tokenizer's pieces have no fewer than their text."""
        return max(map(len, self.tokenizer.get_vocab()))

    def _encode_short(self, text: str, max_tokens: int | None) -> tuple[int, ...]:
        """Told by its length alone where that is enough: encoding megabytes takes seconds."""
        if max_tokens is not None and len(text) > max_tokens and len(text) > max_tokens * self._longest_token:
            raise BadRequest(
                f"the conversation is {len(text)} characters long, and the model takes {max_tokens} tokens; "
                "send a shorter one",
                code=TOO_LONG,
            )
        return self.encode(text)

    def _conversation(self, messages: tuple[Message, ...], *, is_on: bool) -> str:
        text = self._apply(messages, enable_thinking=is_on)
        if is_on or not self.has_thought or text != self._apply(messages, enable_thinking=True):
            return text
        # The template knows no switch: the thought is closed before a word of it.
        return text.rstrip() + _EMPTY_THOUGHT if text.rstrip().endswith(OPEN) else f"{text}{OPEN}{_EMPTY_THOUGHT}"

    def _apply(self, messages: tuple[Message, ...], *, enable_thinking: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                _as_dicts(messages),
                chat_template=self.jinja,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=enable_thinking,
                thinking=enable_thinking,
            )
        except (TemplateError, TypeError, KeyError, IndexError, ValueError) as error:
            raise BadRequest(f"messages: the model's chat template refuses them ({error})") from error


def _as_dicts(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    """Thoughts before the last question are dropped, wherever they stand: R1 never reads them again."""
    last_question = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    found: list[dict[str, str]] = []
    for i, message in enumerate(messages):
        row = {"role": message.role, "content": message.content}
        if message.role == "assistant":
            inline, closed, rest = message.content.rpartition(CLOSE)
            row["content"] = rest.strip() if closed else message.content
            thought = message.thought or inline.partition(OPEN)[2].strip()
            if thought and i > last_question:
                row["reasoning_content"] = thought
        found.append(row)
    return found
