"""What ``thinkwright serve`` is told."""

from dataclasses import dataclass, field
from pathlib import Path

from thinkwright.config.recipe import Machine
from thinkwright.errors import RecipeError


@dataclass(frozen=True)
class ServingEngine:
    """How one model generates."""

    engines: int = 1
    """Processes that share the requests; several of one thread each are faster for a small model."""
    slots: int | None = None
    """Requests that run at the same time; None: as many as memory holds, at most 64."""
    queue: int = 256
    """Requests that may wait for a slot; one more is refused with status 429."""
    max_prompt_tokens: int | None = None
    """None: what the context leaves beside ``max_tokens``."""
    max_tokens: int | None = None
    """Of a reply, thought included; None: half of the context, at most 32,768."""
    deadline_seconds: float = 600
    """A request that takes longer is ended."""
    machine: Machine = field(default_factory=Machine)


@dataclass(frozen=True)
class ServeSettings:
    """As the command's options of the same names."""

    models: tuple[str, ...]
    """Folders, runs, checkpoints or Hub names, each served under its name."""
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    """What clients must send; needed to listen anywhere but on this machine."""
    names: tuple[str, ...] = ()
    """Hosts that a proxy before the server is asked by, without ports: other names are refused."""
    template: str | None = None
    """How models are asked whose run does not say it."""
    follow: bool = False
    """Take new checkpoints of a run as it writes them."""
    vllm: str | None = None
    """URL#NAME of a vLLM server that generates; the model given is its tokenizer and template."""
    votes: Path = Path("runs/votes.sqlite")
    """Where votes of compare mode are kept."""
    log_prompts: bool = False
    """Write what was asked and replied into the log."""
    max_body_bytes: int = 4 << 20
    grace_seconds: int = 30
    """At its end the server lets what runs go on for so long."""
    engine: ServingEngine = field(default_factory=ServingEngine)

    def __post_init__(self) -> None:
        """Raises RecipeError for a name that is an address, and for a blank key, which would let everybody in.

        A line break after a key is no part of it.
        """
        if wrong := [name for name in self.names if not name or set(name) & set("/: ")]:
            raise RecipeError(f"--name {wrong[0]}: give the host's name alone, such as chat.example.org")
        if self.api_key is not None:
            object.__setattr__(self, "api_key", self.api_key.strip())
            if not self.api_key:
                raise RecipeError("--api-key: is blank (was a variable not set?); give a key, or leave it out")
