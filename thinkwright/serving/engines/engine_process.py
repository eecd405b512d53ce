"""The native engine's process: one model, its running batch, and a pipe to the server.

A process of its own, so that Python code of the server never holds up the model's (they would share one lock), and so
that whatever ends it, the server lives. Messages are tuples: small, and quick to pickle.

To the engine: ``add key prompt_ids settings name``, ``cancel key``, ``reload number source``, ``close``.
From it: ``ready facts``, ``failed message``, ``events [(key, tokens, end)] running waiting``, ``refused key message``,
``reloaded number``, ``not_reloaded number message``.
"""

import gc
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import torch

from thinkwright.config.serving import ServingEngine
from thinkwright.errors import ModelError, ThinkwrightError
from thinkwright.models.cpu_decoder import fits, lay_out_for_few_rows
from thinkwright.models.policy import Policy, choose_device, choose_dtype
from thinkwright.pipeline.model_source import ModelSource, load_source
from thinkwright.rollout.engine import RolloutRequest
from thinkwright.rollout.live_batch import LiveBatch, LiveEvent
from thinkwright.rollout.memory import free_bytes, key_value_bytes
from thinkwright.serving.engines.backend import MAX_SLOTS, planned_lengths

KEPT_SECONDS_PER_ROW = 0.003
"""Tokens are sent so much more seldom for each row that runs, for every piece of a reply costs the server time, which
is the engine's where cores are few: 32 replies go on ten times a second, a single one with every token."""
_LOADING_SECONDS = 0.05  # while nothing runs, between two looks whether new weights are there
_SWITCH_SECONDS = 1e-4  # a step asks for Python's lock at every operation, which a load holds for so long each time
_OBJECTS_PER_COLLECTION = 100_000  # a step makes many small objects and no cycles; looking for these takes a twentieth
_NICENESS = 5  # the server needs a processor for a moment only, but at once
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


def run_engine(pipe: Connection, source: ModelSource, settings: ServingEngine, head_ids: tuple[int, ...]) -> None:
    """What the process does, until ``close`` or until the server is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # signals are the server's matter
        signal.signal(number, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_SECONDS)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    try:
        engine = _Engine(pipe, source, settings, head_ids)
        gc.freeze()
        gc.set_threshold(_OBJECTS_PER_COLLECTION)
        pipe.send(("ready", engine.facts))
        engine.serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:  # the server says it on
        pipe.send(("failed", _said(error)))


class _Engine:
    def __init__(
        self, pipe: Connection, source: ModelSource, settings: ServingEngine, head_ids: tuple[int, ...]
    ) -> None:
        torch.set_num_threads(settings.machine.threads)
        self._pipe, self._device = pipe, choose_device(settings.machine.device)
        self._dtype = choose_dtype(settings.machine.dtype, self._device)
        self._policy = load_source(source, device=self._device, dtype=self._dtype)
        if self._device.type == "cpu" and fits(self._policy):
            lay_out_for_few_rows(self._policy)
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
        # The number of the newest reload that is under way, and what reloads have loaded.
        self._reload_number: int | None = None
        self._load_lock = threading.Lock()
        self._loaded: SimpleQueue[tuple[int, str, Policy | Exception]] = SimpleQueue()

    def serve(self) -> None:
        """Take messages and step while anything runs."""
        while self._take_messages():
            self._take_weights()
            if self._is_busy():
                self._send(self._batch.step())

    def _is_busy(self) -> bool:
        return bool(self._batch.num_running or self._batch.num_waiting)

    def _take_messages(self) -> bool:
        """False once the engine is to end."""
        while self._pipe.poll(self._wait_seconds()):
            kind, *values = self._pipe.recv()
            if kind == "close":
                return False
            getattr(self, f"_on_{kind}")(*values)
        return True

    def _wait_seconds(self) -> float:
        if self._is_busy():
            return 0
        return _IDLE_SECONDS if self._reload_number is None else _LOADING_SECONDS

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

    def _on_reload(self, number: int, source: ModelSource) -> None:
        """Load in a thread, so that what runs goes on."""
        self._reload_number = number
        threading.Thread(target=self._load, args=(number, source), daemon=True).start()

    def _load(self, number: int, source: ModelSource) -> None:
        # On the CPU, for a full GPU has no room for a second model. In fp32, for any other dtype is torch's default
        # while transformers makes a model, and the steps would take it, too; copying rounds as loading would.
        name = str(source.checkpoint or source.location)
        try:
            with self._load_lock:  # transformers loads one model at a time
                found = load_source(source, device=torch.device("cpu"), dtype=torch.float32)
        except Exception as error:  # told to who asked for the reload
            self._loaded.put((number, name, error))
        else:
            self._loaded.put((number, name, found))

    def _take_weights(self) -> None:
        """Between two steps. What a newer reload has overtaken is dropped."""
        while not self._loaded.empty():
            number, name, found = self._loaded.get()
            if number != self._reload_number:
                continue
            self._reload_number = None
            try:
                if isinstance(found, Exception):
                    raise found
                _copy_weights(self._policy, found, name)
            except Exception as error:  # the old ones are whole: shapes are compared before anything is copied
                self._pipe.send(("not_reloaded", number, _said(error)))
            else:
                self._pipe.send(("reloaded", number))

    def _send(self, events: list[LiveEvent]) -> None:
        """Send at once what begins or ends a reply; what lies between is kept for a moment."""
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
        if now - self._sent_at < self._batch.num_running * KEPT_SECONDS_PER_ROW:
            return False
        self._sent_at = now
        return True


def _facts(policy: Policy, settings: ServingEngine) -> EngineFacts:
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


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ThinkwrightError) else f"{type(error).__name__}: {error}"


@torch.no_grad()
def _copy_weights(policy: Policy, fresh: Policy, name: str) -> None:
    """In place, so that what runs goes on. Raises ModelError for a model of another shape."""
    new = dict(fresh.model.named_parameters())
    old = dict(policy.model.named_parameters())
    if {key: value.shape for key, value in new.items()} != {key: value.shape for key, value in old.items()}:
        raise ModelError(f"{name}: its weights have other shapes than the model that is served; start the server anew")
    for key, param in old.items():
        param.copy_(new[key])
