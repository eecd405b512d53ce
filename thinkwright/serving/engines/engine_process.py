"""The native engine's process: one model, its running batch, and a pipe to the server.

A process of its own, so that Python code of the server never holds up the model's (they would share one lock), and so
that whatever ends it, the server lives. Messages are tuples: small, and quick to pickle.

To the engine: ``add key prompt_ids settings name``, ``cancel key``, ``reload source``, ``close``.
From it: ``ready facts``, ``failed message``, ``events [(key, tokens, end)] running waiting``, ``refused key message``,
``reloaded``, ``not_reloaded message``.
"""

import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from thinkwright.config.serving import EngineSettings
from thinkwright.errors import ModelError, ThinkwrightError
from thinkwright.models.policy import Policy, choose_device, choose_dtype
from thinkwright.pipeline.model_source import ModelSource, load_source
from thinkwright.rollout.engine import RolloutRequest
from thinkwright.rollout.live_batch import LiveBatch, LiveEvent
from thinkwright.rollout.memory import free_bytes, key_value_bytes
from thinkwright.serving.engines.backend import MAX_SLOTS, planned_lengths

MANY_ROWS, KEPT_SECONDS = 8, 0.05
"""Where more run, tokens are sent so often: 20 times a second is smooth, and every message costs the server time."""
_IDLE_SECONDS = 3600.0  # one wait on the pipe; the server's end wakes it at once


@dataclass(frozen=True)
class EngineFacts:
    """What the server needs to know of a loaded model."""

    context: int
    max_prompt_tokens: int
    max_tokens: int
    slots: int
    end_ids: tuple[int, ...]
    num_parameters: int
    dtype: str


def run_engine(pipe: Connection, source: ModelSource, settings: EngineSettings, head_ids: tuple[int, ...]) -> None:
    """What the process does, until ``close`` or until the server is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # signals are the server's matter
        signal.signal(number, signal.SIG_IGN)
    try:
        engine = _Engine(pipe, source, settings, head_ids)
        pipe.send(("ready", engine.facts))
        engine.serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:  # the server says it on
        text = str(error) if isinstance(error, ThinkwrightError) else f"{type(error).__name__}: {error}"
        pipe.send(("failed", text))


class _Engine:
    def __init__(
        self, pipe: Connection, source: ModelSource, settings: EngineSettings, head_ids: tuple[int, ...]
    ) -> None:
        torch.set_num_threads(settings.machine.threads)
        self._pipe, self._device = pipe, choose_device(settings.machine.device)
        self._dtype = choose_dtype(settings.machine.dtype, self._device)
        self._policy = load_source(source, device=self._device, dtype=self._dtype)
        self.facts = _facts(self._policy, settings)
        self._batch = LiveBatch(
            self._policy,
            self.facts.slots,
            self.facts.max_prompt_tokens,
            self.facts.max_tokens,
            head_ids=head_ids if len(head_ids) < self.facts.max_prompt_tokens else (),
        )
        self._ids: dict[int, int] = {}
        self._keys: dict[int, int] = {}
        # By key of what has begun: tokens that were not sent yet.
        self._kept: dict[int, list[Any]] = {}
        self._sent_at = 0.0

    def serve(self) -> None:
        """Take messages and step while anything runs."""
        while self._take_messages():
            if self._is_busy():
                self._send(self._batch.step())

    def _is_busy(self) -> bool:
        return bool(self._batch.num_running or self._batch.num_waiting)

    def _take_messages(self) -> bool:
        """False once the engine is to end."""
        while self._pipe.poll(0 if self._is_busy() else _IDLE_SECONDS):
            kind, *values = self._pipe.recv()
            if kind == "close":
                return False
            getattr(self, f"_on_{kind}")(*values)
        return True

    def _on_add(self, key: int, prompt_ids: tuple[int, ...], settings: Any, name: str) -> None:
        try:
            found = self._batch.add(RolloutRequest(name, prompt_ids), settings)
        except (ModelError, ValueError) as error:
            self._pipe.send(("refused", key, str(error)))
            return
        self._ids[key], self._keys[found] = found, key

    def _on_cancel(self, key: int) -> None:
        if (found := self._ids.get(key)) is not None:
            self._batch.cancel(found)
            if not self._is_busy():
                return
            # Its slot is free before anything else is done.
            self._send(self._batch.step())

    def _on_reload(self, source: ModelSource) -> None:
        try:
            fresh = load_source(source, device=self._device, dtype=self._dtype)
            _copy_weights(self._policy, fresh, str(source.checkpoint or source.location))
        except (ThinkwrightError, RuntimeError, MemoryError) as error:
            self._pipe.send(("not_reloaded", str(error)))
            return
        self._pipe.send(("reloaded",))

    def _send(self, events: list[LiveEvent]) -> None:
        """Send at once what begins or ends a reply; what lies between is kept a moment where many run."""
        is_due = self._is_due()
        rows: list[tuple[int, list[Any], Any]] = []
        for event in events:
            key = self._keys[event.request_id]
            tokens = [(token.token_id, token.logprob, token.alternatives) for token in event.tokens]
            if event.end is not None:
                del self._keys[event.request_id], self._ids[key]
                rows.append((key, self._kept.pop(key, []) + tokens, event.end))
            elif key not in self._kept:
                self._kept[key] = []
                rows.append((key, tokens, None))
            else:
                self._kept[key] += tokens
        if is_due:
            rows += [(key, tokens, None) for key, tokens in self._kept.items() if tokens]
            self._kept = {key: [] for key in self._kept}
        if rows:
            self._pipe.send(("events", rows, self._batch.num_running, self._batch.num_waiting))

    def _is_due(self) -> bool:
        """Whether kept tokens are to be sent."""
        now = time.monotonic()
        if self._batch.num_running > MANY_ROWS and now - self._sent_at < KEPT_SECONDS:
            return False
        self._sent_at = now
        return True


def _facts(policy: Policy, settings: EngineSettings) -> EngineFacts:
    """Lengths and slots as they were asked for, or as context and memory allow."""
    context = policy.max_positions
    max_prompt, max_tokens = planned_lengths(settings, context)
    fitting = free_bytes(policy.device) // (key_value_bytes(policy) * (max_prompt + max_tokens))
    return EngineFacts(
        context=context,
        max_prompt_tokens=max_prompt,
        max_tokens=max_tokens,
        slots=settings.slots or max(1, min(MAX_SLOTS, fitting)),
        end_ids=policy.end_ids,
        num_parameters=sum(param.numel() for param in policy.model.parameters()),
        dtype=str(policy.dtype).removeprefix("torch."),
    )


@torch.no_grad()
def _copy_weights(policy: Policy, fresh: Policy, name: str) -> None:
    """In place, so that what runs goes on. Raises ModelError for a model of another shape."""
    new = dict(fresh.model.named_parameters())
    old = dict(policy.model.named_parameters())
    if {key: value.shape for key, value in new.items()} != {key: value.shape for key, value in old.items()}:
        raise ModelError(f"{name}: its weights have other shapes than the model that is served; start the server anew")
    for key, param in old.items():
        param.copy_(new[key])
