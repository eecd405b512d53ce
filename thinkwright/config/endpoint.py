"""What a recipe may say of a model that another program serves by the API that OpenAI's clients speak."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from thinkwright.config.section import Section


class Endpoint(Section):
    """Where a served model is, and how it is asked."""

    url: Annotated[str, Field(pattern=r"^https?://.+")]
    """Its base address, such as ``http://127.0.0.1:8000/v1``."""
    name: str
    """What the server calls the model."""
    key_variable: str | None = None
    """Environment variable that holds the key, if the server asks for one; keys never stand in recipes."""
    temperature: float = Field(default=0.0, ge=0)
    """0: the likeliest token always."""
    max_tokens: PositiveInt = 4096
    """Tokens of one reply, at most."""
    timeout_seconds: PositiveFloat = 300
    """Wait for one reply, at most."""
    retries: int = Field(default=4, ge=0)
    """Times a request is sent again after an outage, a full queue or a server's error, with growing pauses."""
    concurrency: PositiveInt = 16
    """Requests under way at the same time, at most."""
