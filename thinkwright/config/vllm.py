"""What a recipe may say of vLLM servers that sample its rollouts."""

from typing import Annotated

from pydantic import AfterValidator, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.endpoint import checked_url
from thinkwright.config.section import Section, Share

_OWN = ("servers", "gpus_per_server", "slots", "memory_share", "cache_gb", "environment", "start_seconds")


class VLLMSettings(Section):
    """vLLM server processes, in an environment of their own (``thinkwright install-vllm``)."""

    servers: PositiveInt = 1
    """Server processes that are started, each with the whole model."""
    gpus_per_server: PositiveInt = 1
    """GPUs that one server spreads the model over (tensor parallel); the first is the one after the trainer's."""
    slots: PositiveInt = 256
    """Completions that a server runs at the same time, at most."""
    memory_share: Share = 0.9
    """Share of each of its GPUs' memory that a server takes."""
    cache_gb: PositiveFloat = 2.0
    """GiB for keys and values of a server on a CPU."""
    environment: str = ".venv-vllm"
    """Folder of the environment that vLLM is installed in."""
    start_seconds: PositiveFloat = 900.0
    """A server that does not answer so long after its start is given up."""
    urls: tuple[Annotated[str, AfterValidator(checked_url)], ...] = ()
    """Servers that are there already, perhaps on other machines (docs/scaling.md says how to start them); weights reach
    them through the run folder, which they must share."""
    request_seconds: PositiveFloat = 1800.0
    """The longest wait for the completions of one prompt, or for a server to take new weights."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "VLLMSettings":
        fields = VLLMSettings.model_fields
        given = [key for key in _OWN if getattr(self, key) != fields[key].default]
        if self.urls and given:
            raise ValueError(f"{', '.join(given)}: no effect on servers that are there already (urls); remove it")
        return self
