"""What a recipe may say of native engines in processes of their own."""

from pydantic import PositiveFloat, PositiveInt

from thinkwright.config.section import Section


class EngineSettings(Section):
    """Processes that sample beside the trainer, each with the whole model; ``rollout.slots`` holds for each."""

    count: PositiveInt = 1
    """Processes; with GPUs, each has one, after those of the trainer."""
    threads: PositiveInt | None = None
    """CPU threads of each; by default as many as the trainer has."""
    deadline_seconds: PositiveFloat = 1800.0
    """A process that has prompts and finishes none of them for so long is killed and replaced."""
