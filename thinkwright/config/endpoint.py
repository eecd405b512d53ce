"""What a recipe may say of a model that another program serves by the API that OpenAI's clients speak."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from thinkwright.config.section import Section

_LABEL = re.compile(r"[^\s.%]{1,63}")


def checked_url(url: str) -> str:
    """The base address of a server. Raises ValueError, with the remedy, for one that no request can be sent to."""
    form = "write it like http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no address ({error}); {form}") from error
    labels = host.removesuffix(".").split(".")
    is_whole = url.isprintable() and " " not in url and (":" in host or all(map(_LABEL.fullmatch, labels)))
    if parts.scheme not in ("http", "https") or not is_whole or port == 0:
        raise ValueError(f"{url!r} is no address of a server; {form}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            f"the address of {host} holds a user, a query (?) or a fragment (#), which paths cannot be added to; "
            f"{form}, and put a key into the variable that key_variable names"
        )
    return url


class Endpoint(Section):
    """Where a served model is, and how it is asked."""

    url: Annotated[str, AfterValidator(checked_url)]
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
    """Wait for one reply, at most, until it is whole."""
    retries: int = Field(default=7, ge=0)
    """Times a request is sent again after an outage, a full queue or a server's error, with growing pauses: 7 make
    about a minute in all."""
    concurrency: PositiveInt = 16
    """Requests under way at the same time, at most."""
