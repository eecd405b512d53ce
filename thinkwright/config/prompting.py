"""What a recipe may say of how a model is brought to think at length before it was ever trained to.

DeepSeek-R1 (arXiv:2501.12948v1, section 2.3.1): few-shot prompting with long thoughts as an example, and directly
prompting for detailed answers with reflection and verification.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from thinkwright.config.section import Section

Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
"""An ISO 639-1 code."""
INSTRUCTIONS = {
    "en": "Think at length before you answer: understand the question first, go on in small steps, reflect on each, "
    "try another way where one fails, and verify the result before you state it.",
    "zh": "请先充分思考再回答：先弄懂题目，一小步一小步地推进，每一步都反思，走不通就换一种方法，说出结果之前先验证。",  # noqa: RUF001
}
"""What is put before a question if the recipe does not say otherwise."""


class FewShot(Section):
    """Worked examples with long thoughts stand before the question."""

    style: Literal["few_shot"]
    examples: tuple[str, ...] = Field(min_length=1)
    """Files or addresses of rows with question, thought and answer, such as ``tiny-world:careful:200``."""
    count: PositiveInt = 2
    """Examples shown in one prompt: drawn anew for each question, of its language first, never the question itself."""


class Direct(Section):
    """The model is asked for reflection and verification, or its thought is begun for it."""

    style: Literal["direct"]
    instruction: dict[Language, str] = Field(default=INSTRUCTIONS)
    """By language, a sentence put before the question; other languages get none. {} for none at all."""
    opening: dict[Language, str] = Field(default={})
    """By language, text that every thought begins with: for base models, which go on rather than obey. Its tokens
    count to the completion."""

    @model_validator(mode="after")
    def _texts_have_effect(self) -> "Direct":
        if not self.instruction and not self.opening:
            raise ValueError("neither instruction nor opening is given, so nothing is prompted; give one of them")
        for name, texts in (("instruction", self.instruction), ("opening", self.opening)):
            if empty := [language for language, text in texts.items() if not text.strip()]:
                raise ValueError(f"{name}.{empty[0]}: is empty; write a text, or take the language out")
        if tagged := [language for language, text in self.opening.items() if "think>" in text]:
            raise ValueError(f"opening.{tagged[0]}: holds a tag of the thought, which the template adds; remove it")
        return self


Prompting = Annotated[FewShot | Direct, Field(discriminator="style")]
