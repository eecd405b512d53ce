"""What a fleet asks of its engines, wherever they run, and of whatever starts them."""

from typing import Protocol

from thinkwright.errors import ThinkwrightError
from thinkwright.models.policy import Policy
from thinkwright.rollout.fleet.worker import Call
from thinkwright.rollout.group_batch import Key
from thinkwright.types import Rollout

Finished = list[tuple[Key, tuple[Rollout, ...]]]


class EngineDiedError(ThinkwrightError):
    """An engine process is gone; another can take its place."""


class NoRoomError(EngineDiedError):
    """There is no place for an engine now."""


class Engine(Protocol):
    """One engine process."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    def add(self, call: Call) -> None:
        """Give it groups to sample; returns at once."""
        ...

    def take_weights(self) -> None:
        """Let it take the newest weights before its next token; returns at once."""
        ...

    def receive(self, seconds: float) -> Finished:
        """Groups it has completed, waiting so long for any. Raises EngineDiedError, or ModelError where it could not
        sample one."""
        ...

    def kill(self) -> None:
        """End it, whatever it does; ``receive`` then raises EngineDiedError. May be called from any thread."""
        ...


class EngineSource(Protocol):
    """Starts engines, and brings weights to where they can take them."""

    def publish(self, policy: Policy, policy_version: int) -> None:
        """Offer these weights to all engines, also to those started later."""
        ...

    def start(self, place: int) -> Engine:
        """The engine of a place, once it is ready to be given weights. Raises EngineDiedError or ModelError."""
        ...
