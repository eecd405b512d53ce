"""What a recipe may say of a teacher's traces among a group's completions."""

from pydantic import Field, PositiveFloat

from thinkwright.config.section import Section


class TeacherTraces(Section):
    """A teacher's completion beside a prompt's own ones, in their group (LUFFY, arXiv:2504.14945)."""

    data: tuple[str, ...] = Field(min_length=1)
    """Files or addresses of rows as for ``sft``: question, thought, answer. A prompt is given the first trace of its
    question, letter for letter; one without a trace has a group as ever. A trace that the rules find wrong takes no
    part."""
    shaping: PositiveFloat = 0.1
    """A trace's token weighs p / (p + shaping) by its probability p: the smaller, the more is learned from unlikely
    ones."""
