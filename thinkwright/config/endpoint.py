"""What a recipe may say of a model that another program serves by the API that OpenAI's clients speak."""

import re
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from thinkwright.config.section import Section

_LABEL = re.compile(r"[^\s.%]{1,63}")
_SPREADS = frozenset({"ranks", "deadline_seconds"})
_REACHES = frozenset(
    {"url", "key_variable", "timeout_seconds", "retries", "concurrency", "tries"}
    | {"max_no_verdict_share", "max_unusable_share"}
)
"""Keys of a served model that change when a run stops, never what it makes."""


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


def without_reach(recipe: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe without what only says how a served model is reached, when a run gives up on it, in which other
    tools its metrics are shown (``mirror``), and over how many processes the training is spread.

    Two recipes that differ in nothing else make the same, so a run may be resumed with other ones.
    """
    kept = {key: value for key, value in _without_reach(recipe).items() if key != "mirror"}
    if isinstance(kept.get("machine"), dict):
        machine = cast("dict[str, Any]", kept["machine"])
        kept["machine"] = {key: value for key, value in machine.items() if key not in _SPREADS}
    if isinstance(kept.get("rollout"), dict):
        rollout = cast("dict[str, Any]", kept["rollout"])
        # Our engines sample the same wherever they are; vLLM's draws are its own, however many servers.
        kept["rollout"] = {key: value for key, value in rollout.items() if key not in ("engines", "vllm")}
        kept["rollout"]["is_vllm"] = rollout.get("vllm") is not None
    return kept


def _without_reach(recipe: dict[str, Any]) -> dict[str, Any]:
    tables = {key: cast("dict[str, Any]", value) for key, value in recipe.items() if isinstance(value, dict)}
    is_endpoint = {"url", "key_variable", "timeout_seconds"} <= recipe.keys()
    kept = {key: value for key, value in recipe.items() if not (is_endpoint and key in _REACHES)}
    return kept | {key: _without_reach(table) for key, table in tables.items()}
