"""A question as a chat model's own template puts it: no system prompt, as DeepSeek-R1 was evaluated."""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from thinkwright.errors import ModelError


def chat_prompts(tokenizer: Any, questions: Sequence[str]) -> list[str]:
    """The prompt text of each question. Raises ModelError if the model has no chat template, or a broken one."""
    if not tokenizer.chat_template:
        raise ModelError("--template chat: this model has no chat template; give one of ours, such as r1_zero")
    try:
        return [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
            )
            for question in questions
        ]
    except TemplateError as error:
        raise ModelError(f"--template chat: the model's chat template fails ({error}); give one of ours") from error


def opens_thought(prompt: str) -> bool:
    """Whether the template has begun the thought already, as DeepSeek-R1's does."""
    return prompt.rstrip().endswith("<think>")
