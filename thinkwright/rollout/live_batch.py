"""A running batch that takes new requests while it runs: what a server samples with.

Its memory is planned once, for requests of up to so many tokens; those that find no slot wait in order. Each request
has settings of its own, and its answer depends on it alone: randomness comes from its seed, and no operation mixes the
rows of the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from thinkwright.errors import ModelError
from thinkwright.models.paged_attention import MIN_ROWS
from thinkwright.models.policy import Policy
from thinkwright.rollout.completions import Completions, Indices, limit_of
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings, ThinkingBudget
from thinkwright.rollout.memory import plan_live_memory
from thinkwright.rollout.prefix import read_prefix
from thinkwright.rollout.row_sampling import MAX_ALTERNATIVES, RowSettings, draw_rows, likeliest_tokens
from thinkwright.rollout.running import RunningBatch, Taken
from thinkwright.types import FinishReason

MAX_TEMPERATURE = 100
"""Above it all tokens are about as likely, and at last fp32 overflows."""
FEW_ROWS, FEW_PROMPTS, PATIENCE_STEPS = 8, 4, 4
"""Where more than a few rows run, fewer prompts than a few wait for company, for so many steps at most: a pass through
the model costs those that run about a step, however short the prompts are."""
Alternatives = tuple[tuple[int, float], ...]
"""Tokens with their log-probabilities, likeliest first."""


@dataclass(frozen=True)
class LiveSettings:
    """How one completion is drawn; fields not explained here are those of ``SamplingSettings``."""

    max_tokens: int
    seed: int
    temperature: float = 1.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    thinking_budget: ThinkingBudget | None = None
    ignore_end: bool = False
    num_alternatives: int = 0
    """So many likeliest tokens are reported beside each drawn one."""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be sampled from."""
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise ValueError(
                f"sampling needs temperature from 0 (the likeliest token) to {MAX_TEMPERATURE}; got {self.temperature}"
            )
        if not 0 <= self.num_alternatives <= MAX_ALTERNATIVES:
            raise ValueError(f"0 to {MAX_ALTERNATIVES} alternatives can be reported; got {self.num_alternatives}")
        self.sampling_settings()

    def sampling_settings(self) -> SamplingSettings:
        """The same for an engine's call; a temperature of 0, which that does not know, becomes 1."""
        return SamplingSettings(
            group_size=1,
            max_tokens=self.max_tokens,
            temperature=self.temperature or 1.0,
            seed=self.seed,
            step=0,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            stop=self.stop,
            thinking_budget=self.thinking_budget,
            ignore_end=self.ignore_end,
        )


@dataclass(frozen=True, slots=True)
class LiveToken:
    """One token of a completion, the end token and forced ones included."""

    token_id: int
    logprob: float
    """Under the policy itself, at temperature 1 and uncut."""
    alternatives: Alternatives
    """The likeliest tokens in its place, as many as asked for, under the policy itself."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """What a step brought for one request."""

    request_id: int
    """As ``LiveBatch.add`` gave it."""
    tokens: tuple[LiveToken, ...]
    """That came since the last event; none with ``cancelled``."""
    end: FinishReason | Literal["cancelled"] | None
    """Why it has ended: ``stop`` by an end token or a stop text, ``length`` at its limit. None: it goes on."""


class LiveBatch:
    """Requests that run and requests that wait. All calls come from one thread; nothing happens outside ``step``.

    The policy's weights may be written to in place between two steps, as ``load_state_dict`` does. Completions that
    run then go on with the new weights, and with the keys and values that the old ones made of their prompt and of
    the tokens so far: their text is of both. Prompts are read with the weights that are there when their turn comes;
    the tokens that most begin with (``head_ids``) are then read anew for all.
    """

    def __init__(
        self,
        policy: Policy,
        num_slots: int,
        max_prompt_tokens: int,
        max_completion_tokens: int,
        memory_bytes: int | None = None,
        head_ids: tuple[int, ...] = (),
    ) -> None:
        """``num_slots``: requests that run at the same time, at most. ``memory_bytes``: for keys and values.

        ``head_ids``: tokens that most prompts begin with, as a template writes them; they are read once.

        Raises ModelError, with what would fit, if all slots at their limits would not fit the memory.
        """
        plan = plan_live_memory(
            policy,
            num_slots=num_slots,
            prompt_tokens=max_prompt_tokens,
            completion_tokens=max_completion_tokens,
            memory_bytes=memory_bytes,
        )
        self._policy = policy
        self._max_prompt_tokens, self._max_completion_tokens = max_prompt_tokens, max_completion_tokens
        self._completions = Completions(policy, num_slots, max_completion_tokens, may_be_forced=True)
        self._prefix = read_prefix(policy, head_ids)
        self._batch = RunningBatch(policy, self._completions, plan, self._prefix)
        self._waiting: dict[int, tuple[RolloutRequest, LiveSettings]] = {}
        self._cancelled: set[int] = set()
        self._next_id = self._num_steps_waited = 0
        # By slot: that of the prompt, and the place of its one completion.
        self._ids: list[int | None] = [None] * num_slots
        self._row_settings = RowSettings.uncut(num_slots)
        self._num_alternatives = np.zeros(num_slots, dtype=np.int64)

    @property
    def num_running(self) -> int:
        """Requests that have a slot."""
        return len(self._batch.places)

    @property
    def num_waiting(self) -> int:
        """Requests that have found no slot yet."""
        return len(self._waiting)

    def add(self, request: RolloutRequest, settings: LiveSettings) -> int:
        """Queue a request, whose ``prompt_id`` is a part of its seed; returns the id that its events will carry.

        Raises ModelError if it is more than was planned for, or cannot be sampled from.
        """
        self._check(request, settings)
        self._next_id += 1
        self._waiting[self._next_id] = request, settings
        return self._next_id

    def cancel(self, request_id: int) -> None:
        """Give a request up: the next step frees its slot and says so. One that has ended already is left alone."""
        if request_id in self._waiting or request_id in self._ids:
            self._cancelled.add(request_id)

    @torch.inference_mode()
    def step(self) -> list[LiveEvent]:
        """One token for each running request, after those that wait have taken the free slots.

        Short prompts are read in the same pass where that can be (``running.SHORT_PROMPT_TOKENS``). Others are read up
        to ``running.READ_AHEAD_TOKENS`` a step (at least one), so that tokens keep coming while many requests arrive;
        where many run, a few prompts are read together (``PATIENCE_STEPS``).
        """
        events = self._drop_cancelled()
        if self._waiting:
            self._renew_prefix()
        slots = self._batch.read_with_step(self._next_prompts(are_short=True))
        self._batch.advance()
        self._begin(slots)
        self._begin_waiting()
        return events + (self._draw() if self.num_running else [])

    def _check(self, request: RolloutRequest, settings: LiveSettings) -> None:
        name, num_prompt = f"prompt {request.prompt_id}", len(request.prompt_ids)
        limit, num_forced = limit_of(request, settings.sampling_settings(), member=0), len(request.forced_start)
        budget, vocabulary = settings.thinking_budget, len(self._policy.head)
        if num_prompt == 0:
            raise ModelError(f"{name} is empty; give it at least one token")
        if num_prompt > self._max_prompt_tokens:
            raise ModelError(
                f"{name} has {num_prompt} tokens, more than the {self._max_prompt_tokens} that are planned for; "
                "shorten it, or raise max_prompt_tokens"
            )
        if settings.max_tokens > self._max_completion_tokens:
            raise ModelError(
                f"{name}: a completion of {settings.max_tokens} tokens is more than the "
                f"{self._max_completion_tokens} that are planned for; ask for fewer, or raise max_completion_tokens"
            )
        if num_prompt + limit > self._policy.max_positions:
            raise ModelError(
                f"{name} has {num_prompt} tokens; with {limit} to come that is more than the model's context of "
                f"{self._policy.max_positions}; shorten it, or ask for fewer"
            )
        if num_forced >= limit or (budget and num_forced > budget.max_tokens):
            raise ModelError(
                f"{name}: the {num_forced} tokens its completion begins with do not fit its limit of {limit} or its "
                "thinking budget; raise these"
            )
        forced = *request.forced_start, *(budget.forced if budget else ())
        if unknown := [token for token in (*request.prompt_ids, *forced) if not 0 <= token < vocabulary]:
            raise ModelError(f"{name}: token {unknown[0]} is not one of the model's {vocabulary}")

    def _drop_cancelled(self) -> list[LiveEvent]:
        if not self._cancelled:
            return []
        cancelled, self._cancelled = self._cancelled, set()
        for request_id in cancelled:
            self._waiting.pop(request_id, None)
        places = self._batch.places
        is_leaving = np.array([self._ids[place] in cancelled for place in places.tolist()], dtype=bool)
        if is_leaving.any():
            self._batch.leave(is_leaving)
            self._free(places[is_leaving].tolist())
        return [LiveEvent(request_id, (), "cancelled") for request_id in sorted(cancelled)]

    def _begin_waiting(self) -> None:
        """Read prompts in a pass of their own."""
        prompts = list(self._next_prompts(are_short=False))
        if not (prompts and self._batch.has_free_prompts) or self._is_company_awaited(len(prompts)):
            return
        # A prompt that is read alone is rounded like one that is read with others.
        self._begin(self._batch.read_prompts(prompts, MIN_ROWS))

    def _next_prompts(self, *, are_short: bool) -> Iterator[tuple[int, ...]]:
        """Of the requests that wait, in order, as long as they are all to be read in the same way.

        How a prompt is read depends on it alone, for the two ways round differently.
        """
        prompts = (request.prompt_ids for request, _ in self._waiting.values())
        return takewhile(lambda prompt: self._batch.may_read_with_step(prompt) == are_short, prompts)

    def _begin(self, slots: Indices) -> None:
        """The first requests that wait have got these slots, and their prompts are read."""
        if len(slots) == 0:
            return
        begun = list(islice(self._waiting.items(), len(slots)))
        for slot, (request_id, (request, settings)) in zip(slots.tolist(), begun, strict=True):
            del self._waiting[request_id]
            self._ids[slot] = request_id
            self._completions.begin(slot, request, settings.sampling_settings(), member=0)
            self._row_settings.put(
                slot, settings.temperature, settings.top_p, min(settings.top_k, len(self._policy.head)), settings.min_p
            )
            self._num_alternatives[slot] = settings.num_alternatives
        self._batch.begin(slots, slots)

    def _is_company_awaited(self, num_prompts: int) -> bool:
        self._num_steps_waited += 1
        are_few = num_prompts < FEW_PROMPTS and self.num_running >= FEW_ROWS
        if are_few and self._num_steps_waited < PATIENCE_STEPS:
            return True
        self._num_steps_waited = 0
        return False

    def _renew_prefix(self) -> None:
        """Where the weights have been written to since it was read."""
        if self._prefix.token_ids and self._prefix.weights_version != self._policy.weights_version():
            self._prefix = read_prefix(self._policy, self._prefix.token_ids)
            self._batch.renew_prefix(self._prefix)

    def _draw(self) -> list[LiveEvent]:
        batch = self._batch
        logits = batch.logits()
        settings = self._row_settings.at(batch.places)
        drawn = draw_rows(logits, batch.next_uniforms(), settings, batch.next_forced())
        alternatives = self._alternatives(logits)
        taken = batch.take(drawn)
        events = list(self._events(taken, alternatives))
        self._free(taken.places[taken.has_ended].tolist())
        return events

    def _alternatives(self, logits: Tensor) -> dict[int, Alternatives]:
        """By place, of the completions that want any."""
        places = self._batch.places
        rows = np.flatnonzero(self._num_alternatives[places])
        if len(rows) == 0:
            return {}
        tokens, logprobs = likeliest_tokens(logits[torch.from_numpy(rows).to(logits.device)])
        counts = self._num_alternatives[places[rows]].tolist()
        lists = zip(places[rows].tolist(), counts, tokens.tolist(), logprobs.tolist(), strict=True)
        return {place: tuple(zip(ids[:count], values[:count], strict=True)) for place, count, ids, values in lists}

    def _events(self, taken: Taken, alternatives: dict[int, Alternatives]) -> Iterator[LiveEvent]:
        fields = (values.tolist() for values in (taken.places, taken.tokens, taken.logprobs, taken.has_ended))
        for place, token_id, logprob, has_ended in zip(*fields, strict=True):
            request_id = self._ids[place]
            assert request_id is not None, "every row is of a request"
            end = None if not has_ended else "stop" if self._completions.has_stopped(place) else "length"
            yield LiveEvent(request_id, (LiveToken(token_id, logprob, alternatives.get(place, ())),), end)

    def _free(self, slots: list[int]) -> None:
        for slot in slots:
            self._ids[slot] = None
        self._batch.free_prompts(slots)
