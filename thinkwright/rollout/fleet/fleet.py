"""Several engines that sample one policy: groups go to whichever has room, and come back as they are complete.

Calls may overlap, and weights may change while they run. An engine that dies, or hangs, is replaced, and what it had
not finished is sampled again; each group of a call is given out exactly once.
"""

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from thinkwright.errors import EndpointError
from thinkwright.models.policy import Policy
from thinkwright.models.token_tree import MIN_SHARED_PREFIX, common_prefix
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.rollout.fleet.engine import Engine, EngineDiedError, EngineSource, NoRoomError
from thinkwright.rollout.fleet.worker import Call
from thinkwright.rollout.group_batch import Key
from thinkwright.rollout.memory import check_lengths
from thinkwright.types import Rollout

MAX_DEATHS = 3
"""Of one place, without a group finished between; then something is wrong with it."""
MAX_DEATHS_OVER_GROUP = 10
"""So many engines may die while they have a group; then it is the group that they die of."""
_LOOK_SECONDS, _PAUSE_SECONDS = 1.0, 10.0
_Item = tuple[int, tuple[Rollout, ...]]


@dataclass
class _CallState:
    """A call that has not been given out whole."""

    requests: Sequence[RolloutRequest]
    settings: SamplingSettings
    prefix_ids: tuple[int, ...]
    unsent: deque[int]
    done: SimpleQueue[_Item | Exception] = field(default_factory=SimpleQueue)


@dataclass
class _Place:
    """Where an engine stands, and its successors."""

    engine: Engine | None = None
    open: set[Key] = field(default_factory=set)
    """Groups it was given and has not finished."""
    deaths: int = 0
    heard: float = 0.0
    """When it last finished a group, or was given one while it had none."""
    fault: str = ""
    """Why it was killed."""


class EngineFleet(RolloutEngine):
    """Use as a context manager, so that the engines are ended."""

    def __init__(
        self, policy: Policy, source: EngineSource | None, places: int, slots: int, deadline_seconds: float
    ) -> None:
        """``source``: None on ranks that leave sampling to the first. ``slots``: completions at once of one engine.
        ``deadline_seconds``: an engine that has groups and finishes none for so long is killed and replaced."""
        self._policy, self._source, self._slots, self._deadline = policy, source, slots, deadline_seconds
        self._places = [_Place() for _ in range(places if source is not None else 0)]
        self._calls: dict[int, _CallState] = {}
        self._deaths_over: Counter[Key] = Counter()
        self._num_calls, self._is_closed = 0, False
        self.policy_version = -1
        self._error: Exception | None = None
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.num_replaced = 0
        """Engines that have died."""

    def __enter__(self) -> "EngineFleet":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            engines = self.engines()
            self._fail(EndpointError("the engines were closed"))
        for engine in engines:
            engine.kill()

    def engines(self) -> list[Engine]:
        """Those that are ready."""
        with self._lock:
            return [place.engine for place in self._places if place.engine is not None]

    def take_weights(self, policy_version: int) -> None:
        """See ``RolloutEngine``; completions that run go on with them."""
        if policy_version == self.policy_version:
            return
        is_first, self.policy_version = self.policy_version < 0, policy_version
        if self._source is None:
            return
        self._source.publish(self._policy, policy_version)
        if is_first:
            self._start_all()
            return
        with self._lock:
            for engine in self.engines():
                engine.take_weights()

    def stream(self, requests: Sequence[RolloutRequest], settings: SamplingSettings) -> Iterator[_Item]:
        """See ``RolloutEngine``; EndpointError if engines die again and again. May be called while others run."""
        if not requests:
            return
        check_lengths(self._policy, requests, settings)
        shared = common_prefix([request.prompt_ids for request in requests])
        prefix_ids = requests[0].prompt_ids[:shared] if shared >= MIN_SHARED_PREFIX else ()
        call = _CallState(requests, settings, prefix_ids, deque(range(len(requests))))
        with self._lock:
            if self._error is not None:
                raise self._error
            self._num_calls += 1
            number = self._num_calls
            self._calls[number] = call
        self._dispatch()
        try:
            for _ in requests:
                found = call.done.get()
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            with self._lock:
                self._calls.pop(number, None)

    def _start_all(self) -> None:
        """Returns once one engine is ready; the others come as they do. Raises what keeps all from it."""
        for number in range(len(self._places)):
            threading.Thread(target=self._fill, args=(number,), name=f"start of engine {number}", daemon=True).start()
        threading.Thread(target=self._watch, name="watch over engines", daemon=True).start()
        with self._lock:
            while not self.engines() and self._error is None:
                self._changed.wait()
        if self._error is not None:
            raise self._error

    def _fill(self, number: int) -> None:
        """Start an engine in a place, as often as it takes. While others sample, that is not pressing."""
        place = self._places[number]
        while not self._is_closed:
            try:
                self._start(number)
                return
            except NoRoomError as error:
                if not self.engines():
                    self._fail(EndpointError(str(error)))
            except EngineDiedError as error:
                self._count_death(place, error)
            except Exception as error:  # raised again where groups are taken
                self._fail(error)

    def _count_death(self, place: _Place, error: EngineDiedError) -> None:
        with self._lock:
            place.deaths += 1
            is_alone = not self.engines()
        if place.deaths <= MAX_DEATHS:
            return
        if is_alone:
            self._fail(EndpointError(f"{error}; it was the {place.deaths}th time without a group finished"))
        else:
            time.sleep(_PAUSE_SECONDS)

    def _start(self, number: int) -> None:
        """Fill a place, and listen to it."""
        assert self._source is not None
        engine, place = self._source.start(number), self._places[number]
        with self._lock:
            if self._is_closed:
                engine.kill()
                return
            assert not place.open, "what the one before had was taken back"
            engine.take_weights()  # before anybody can give it a group
            place.engine, place.fault = engine, ""
            self._changed.notify_all()
        threading.Thread(target=self._listen, args=(number, engine), name=engine.name, daemon=True).start()
        self._dispatch()

    def _dispatch(self) -> None:
        """Give waiting groups to engines with room, to the least busy first, oldest call first."""
        with self._lock:
            shares: dict[int, dict[int, dict[int, RolloutRequest]]] = {}
            for call_number, call in self._calls.items():
                room = 2 * -(-self._slots // call.settings.group_size)
                while call.unsent:
                    free = [i for i, p in enumerate(self._places) if p.engine is not None and len(p.open) < room]
                    if not free:
                        break
                    number = min(free, key=lambda i: len(self._places[i].open))
                    place, index = self._places[number], call.unsent.popleft()
                    if not place.open:
                        place.heard = time.monotonic()
                    place.open.add((call_number, index))
                    shares.setdefault(number, {}).setdefault(call_number, {})[index] = call.requests[index]
            for number, by_call in shares.items():
                engine = self._places[number].engine
                assert engine is not None
                for call_number, requests in by_call.items():
                    call = self._calls[call_number]
                    engine.add(Call(call_number, requests, call.settings, call.prefix_ids))

    def _listen(self, number: int, engine: Engine) -> None:
        """Take groups from an engine until it is gone; then see to its successor."""
        try:
            error = self._collect_all(number, engine)
            engine.kill()
            if not self._is_closed:
                fault = self._places[number].fault
                self._replace(number, EngineDiedError(fault) if fault else error)
        except Exception as failure:  # raised again where groups are taken
            self._fail(failure)

    def _collect_all(self, number: int, engine: Engine) -> EngineDiedError:
        """Returns what it died of."""
        try:
            while True:
                self._collect(number, engine)
        except EngineDiedError as error:
            return error

    def _collect(self, number: int, engine: Engine) -> None:
        place, found = self._places[number], engine.receive(_LOOK_SECONDS)
        with self._lock:
            for (call_number, index), rollouts in found:
                place.open.discard((call_number, index))
                place.heard, place.deaths = time.monotonic(), 0
                if (call := self._calls.get(call_number)) is not None:
                    call.done.put((index, rollouts))
        if found:
            self._dispatch()

    def _watch(self) -> None:
        """Kill engines that stand still; whoever listens to one then finds it dead."""
        try:
            self._watch_all()
        except Exception as failure:  # raised again where groups are taken
            self._fail(failure)

    def _watch_all(self) -> None:
        while not self._is_closed:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                late = [p for p in self._places if p.open and time.monotonic() - p.heard > self._deadline]
                engines = [place.engine for place in late if place.engine is not None]
                for place, engine in zip(late, engines, strict=True):
                    place.fault = (
                        f"{engine.name} finished no group for {self._deadline:g} s (rollout.engines.deadline_seconds)"
                    )
            for engine in engines:
                engine.kill()

    def _replace(self, number: int, error: EngineDiedError) -> None:
        """Take back what a dead engine had not finished, and start another in its place."""
        place = self._places[number]
        with self._lock:
            place.engine = None
            self.num_replaced += 1
            print(f"{error}; another takes its place, {len(place.open)} groups are sampled again", file=sys.stderr)
            for call_number, index in sorted(place.open, reverse=True):
                if (call := self._calls.get(call_number)) is not None:
                    call.unsent.appendleft(index)
                    # Where engines die one after the other, it is the place's fault, not the group's.
                    self._deaths_over[call_number, index] += place.deaths <= MAX_DEATHS
            fatal = [key for key in sorted(place.open) if self._deaths_over[key] >= MAX_DEATHS_OVER_GROUP]
            place.open = set()
        self._check_groups(fatal, error)
        self._dispatch()
        self._count_death(place, error)
        self._fill(number)

    def _check_groups(self, fatal: Sequence[Key], error: EngineDiedError) -> None:
        """Give up groups that one engine after the other dies of."""
        calls = [(self._calls.get(number), index) for number, index in fatal]
        names = [call.requests[index].prompt_id for call, index in calls if call is not None]
        if names:
            self._fail(
                EndpointError(
                    f"{MAX_DEATHS_OVER_GROUP} engines died while they sampled prompt {' or '.join(names[:3])}; "
                    f"the last: {error}"
                )
            )

    def _fail(self, error: Exception) -> None:
        """End all calls, and those to come."""
        with self._lock:
            self._error, self._is_closed = error, True
            for call in self._calls.values():
                call.done.put(error)
            self._changed.notify_all()
