"""Grades answers in worker processes that are killed when they take too long.

Every item has a deadline of its own. A worker past it is killed with all it started, the item is a ``timeout``, and
nothing else is lost: what else it was given goes to others. While a worker is stuck on an item, another stands in, so
that poison costs its own deadline and not the throughput. The item that a worker dies of has a second try with a fresh
one, and is then a failure.
"""

import math
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from thinkwright.errors import GraderError
from thinkwright.rewards.sandbox import ISOLATION_VARIABLE
from thinkwright.rewards.staff import START_SECONDS, Nursery, Worker
from thinkwright.types import Isolation, Outcome

LANGUAGE = "language"
"""The kind of task that needs the model of languages."""
VERIFIERS = "thinkwright.rewards.registry:VERIFIERS"
MEMORY_BYTES = 4 * 2**30
"""Address space of a worker; one that wants more meets a MemoryError."""
SPARES_PER_WORKER = 8
"""Stuck workers that others stand in for, for each one that works; more at once would cost too much memory."""
BATCH_SECONDS = 0.03
MAX_BATCH = 64
_FIRST_BATCH = 4
_MAX_TRIES = 2
_MAX_FAILED_STARTS = 3
_ITEMS_PER_WORKER = 20_000  # then a fresh one, since libraries keep what they have parsed
_STUCK_SECONDS, _STUCK_SHARE = 0.3, 0.1
_LAST_WORD_SECONDS = 0.3


@dataclass(frozen=True)
class Job:
    """An answer to be graded."""

    verifier: str
    answer: str
    gold: str


@dataclass(frozen=True)
class Verdict:
    """What became of a job."""

    score: float | None
    """0 to 1; None if it was not graded."""
    outcome: Outcome
    """``skipped``: the gold cannot be compared with. ``failed``: the grader raised, died or gave no score."""
    detail: str = ""
    """Why it was not graded."""


@dataclass(frozen=True)
class Task:
    """Any piece of work of a worker (``worker.py`` lists the kinds)."""

    kind: str
    name: str
    arguments: tuple[Any, ...]
    deadline_seconds: float
    is_for_many: bool = False
    """Worked on together with its batch: results come all at once."""


@dataclass(frozen=True)
class Result:
    """What became of a task."""

    outcome: Outcome
    value: Any
    detail: str


class WorkerPool:
    """Worker processes for grading, for use in a ``with`` statement. Any thread may call; one at a time is served."""

    def __init__(
        self,
        num_workers: int = 2,
        registry: str = VERIFIERS,
        memory_bytes: int = MEMORY_BYTES,
        isolation: Isolation = "bubblewrap",
    ) -> None:
        """Processes start when the ``with`` statement is entered.

        ``registry``: ``module:dict`` of the verifiers. ``isolation``: how untrusted programs are run (``sandbox.py``).
        """
        self.num_workers = num_workers
        self._registry, self._memory_bytes, self._isolation = registry, memory_bytes, isolation
        self._lock = threading.Lock()
        self._nursery: Nursery | None = None
        self._workers: list[Worker] = []
        self._verifiers: dict[str, dict[str, Any] | None] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._next_id = 0
        self._has_language_model = False

    def __enter__(self) -> "WorkerPool":
        self._nursery = Nursery(self._registry, self._memory_bytes, {ISOLATION_VARIABLE: self._isolation})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._nursery is not None:
            self._nursery.close()
        for worker in self._workers:
            worker.close()
        self._nursery, self._workers = None, []

    def grade(self, jobs: Sequence[Job]) -> list[Verdict]:
        """A verdict a job, in order; equal jobs are graded once. Raises GraderError if no grader can work at all."""
        tasks = {job: self._task(job) for job in dict.fromkeys(jobs)}
        results = dict(zip(tasks, self.run(list(tasks.values())), strict=True))
        return [Verdict(results[job].value, results[job].outcome, results[job].detail) for job in jobs]

    def run(self, tasks: Sequence[Task]) -> list[Result]:
        """A result a task, in order. Raises GraderError if no worker can work at all."""
        with self._lock:
            if not self._has_language_model and any(task.kind == LANGUAGE for task in tasks):
                self.nursery.ask({"op": "load", "kind": LANGUAGE})  # once, for all workers to be forked
                self._has_language_model = True
            call = _Call(self, self.nursery, self._workers, self._seconds, self._next_id, tasks)
            self._next_id += len(tasks)
            return call.run()

    @property
    def nursery(self) -> Nursery:
        """The process that forks workers."""
        assert self._nursery is not None, "the pool is used in a with statement"
        return self._nursery

    def _task(self, job: Job) -> Task:
        if job.verifier not in self._verifiers:
            with self._lock:
                self._verifiers |= self.nursery.ask({"op": "warm", "names": [job.verifier]})
        found = self._verifiers[job.verifier]
        if found is None:
            raise GraderError(f"there is no verifier {job.verifier!r} in {self._registry}; correct the task's verifier")
        if found["problem"] is not None:
            raise GraderError(f"the verifier {job.verifier} cannot work on this machine: {found['problem']}")
        return Task("grade", job.verifier, (job.answer, job.gold), found["deadline_seconds"], found["grades_many"])


class _Call:
    """One call of the pool: what waits, who works at what, and what came of it."""

    def __init__(
        self,
        pool: WorkerPool,
        nursery: Nursery,
        workers: list[Worker],
        seconds: dict[tuple[str, str], float],
        first_id: int,
        tasks: Sequence[Task],
    ) -> None:
        self._pool, self._nursery, self._workers, self._seconds = pool, nursery, workers, seconds
        self._tasks = {first_id + i: task for i, task in enumerate(tasks)}
        self._results: dict[int, Result] = {}
        self._queue = deque(self._tasks)
        self._tries: Counter[int] = Counter()
        self._alone: set[int] = set()
        self._failed_starts = 0
        self._poll = select.poll()
        self._by_fd: dict[int, Worker] = {}
        for worker in workers:
            self._watch(worker)

    def run(self) -> list[Result]:
        try:
            while len(self._results) < len(self._tasks):
                self._hand_out()
                self._listen(self._patience())
                self._look_at_clocks()
            self._await_ends()
        finally:
            self._leave_idle_workers()
        return [self._results[item] for item in self._tasks]

    def _listen(self, seconds: float) -> None:
        """Attend to who has something to say, as soon as anybody has."""
        for fd, _ in self._poll.poll(max(1, math.ceil(1000 * seconds))):
            if fd in self._by_fd:
                self._attend(self._by_fd[fd], fd)

    def _await_ends(self) -> None:
        """Workers that have given all their results are about to say that they are done, and may then stay.

        Not those that were stuck: they are ended in any case.
        """
        until = time.monotonic() + _LAST_WORD_SECONDS
        while self._is_word_due() and time.monotonic() < until:
            self._listen(until - time.monotonic())

    def _is_word_due(self) -> bool:
        return any(found.is_busy and not found.assigned and not found.is_demoted for found in self._workers)

    def _watch(self, worker: Worker) -> None:
        for fd in (worker.channel.fileno(), worker.errors):
            self._poll.register(fd, select.POLLIN)
            self._by_fd[fd] = worker

    def _hand_out(self) -> None:
        """Give batches to idle workers, and to new ones as far as fewer work than should."""
        while self._queue:
            if self._queue[0] in self._results:
                self._queue.popleft()
                continue
            busy = sum(worker.is_busy and not worker.is_stuck for worker in self._workers)
            if busy >= self._pool.num_workers or (worker := self._free_worker()) is None:
                return
            self._assign(worker, self._next_batch())

    def _free_worker(self) -> Worker | None:
        """An idle worker or a new one; None if there are too many stuck ones already."""
        idle = next((worker for worker in self._workers if not worker.is_busy), None)
        if idle is not None or len(self._workers) >= self._pool.num_workers * (1 + SPARES_PER_WORKER):
            return idle
        worker = self._nursery.fork()
        self._workers.append(worker)
        self._watch(worker)
        return worker

    def _next_batch(self) -> list[int]:
        """Items of one kind from the head of the queue, as many as take some hundredths of a second."""
        first = self._tasks[self._queue[0]]
        seconds = self._seconds.get((first.kind, first.name))
        size = _FIRST_BATCH if seconds is None else int(BATCH_SECONDS / max(seconds, 1e-6))
        size = max(1, min(size, MAX_BATCH, math.ceil(len(self._queue) / self._pool.num_workers)))
        batch: list[int] = []
        while self._queue and len(batch) < size:
            item = self._queue[0]
            task = self._tasks[item]
            is_last = item in self._alone
            if (task.kind, task.name) != (first.kind, first.name) or (is_last and batch):
                break
            self._queue.popleft()
            if item not in self._results:
                batch.append(item)
            if is_last:
                break
        return batch

    def _assign(self, worker: Worker, batch: list[int]) -> None:
        first = self._tasks[batch[0]]
        items = [[item, self._tasks[item].arguments] for item in batch]
        if not worker.begin(batch, {"kind": first.kind, "name": first.name, "items": items}):
            self._bury(worker)

    def _attend(self, worker: Worker, fd: int) -> None:
        """Take what a worker has to say, on either of its channels."""
        if fd == worker.errors:
            if not worker.listen():
                self._poll.unregister(fd)
                del self._by_fd[fd]
            return
        messages = worker.receive()
        if messages is None:
            self._bury(worker)
            return
        for message in messages:
            worker.since, worker.has_started = time.monotonic(), True
            match message:
                case ["ready"] | ["warm"]:
                    worker.is_loading, worker.began = False, worker.since
                    self._failed_starts = 0
                case ["warming"]:
                    worker.is_loading = True
                case ["result", item, outcome, value, detail]:
                    self._take(worker, item, Result(outcome, value, detail))
                case _:
                    self._finish(worker)

    def _take(self, worker: Worker, item: int, result: Result) -> None:
        worker.is_stuck = False
        worker.num_done += 1
        worker.assigned.remove(item)
        self._results.setdefault(item, result)
        if not worker.assigned:
            task = self._tasks[item]
            self._seconds[task.kind, task.name] = (worker.since - worker.began) / worker.batch_size

    def _finish(self, worker: Worker) -> None:
        """A worker is done with its batch."""
        worker.is_busy, worker.is_stuck = False, False
        worker.assigned.clear()
        if worker.is_demoted or worker.num_done >= _ITEMS_PER_WORKER:
            self._end(worker)

    def _patience(self) -> float:
        """Seconds until the next worker is stuck or past its deadline."""
        now, nearest = time.monotonic(), START_SECONDS
        for worker in self._workers:
            if worker.is_busy:
                limit = self._limit(worker)
                until = limit if worker.is_stuck or worker.is_loading else min(limit, _stuck_after(limit))
                nearest = min(nearest, worker.since + until - now)
        return max(0.0, nearest)

    def _limit(self, worker: Worker) -> float:
        """Seconds that what the worker is at may take."""
        if worker.is_loading or not worker.assigned:
            return START_SECONDS
        return self._tasks[worker.assigned[0]].deadline_seconds

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.is_busy]:
            limit, elapsed = self._limit(worker), now - worker.since
            if elapsed > limit:
                self._time_out(worker, limit)
            elif not worker.is_loading and not worker.is_stuck and elapsed > _stuck_after(limit):
                worker.is_stuck = True
                worker.demote()
                self._take_back(worker)

    def _take_back(self, worker: Worker) -> None:
        """Put what a stuck worker has not begun back to the head of the queue."""
        if len(worker.assigned) > 1 and not self._tasks[worker.assigned[0]].is_for_many and worker.send({}):
            self._queue.extendleft(reversed(list(worker.assigned)[1:]))

    def _time_out(self, worker: Worker, limit: float) -> None:
        waited_for = "loading what it needs" if worker.is_loading else "grading it"
        self._end(worker)
        self._settle(worker, Result("timeout", None, f"{waited_for} took longer than {limit:g} s"))

    def _bury(self, worker: Worker) -> None:
        """A worker has died."""
        detail = worker.how_it_died(self._end(worker))
        if not worker.has_started:
            self._failed_starts += 1
            if self._failed_starts > _MAX_FAILED_STARTS:
                raise GraderError(f"graders do not start: {detail}; mend that and resume the run")
            self._queue.extendleft(reversed(worker.assigned))
            return
        self._settle(worker, Result("failed", None, detail))

    def _settle(self, worker: Worker, result: Result) -> None:
        """Decide on what an ended worker was given: the item it was at has the result, the others wait again.

        A worker that died may have been killed for another's sake: its item has a second try. Of items worked on
        together, nobody knows which it was, so each is tried alone.
        """
        if not worker.assigned:
            return
        current, *others = worker.assigned
        self._queue.extendleft(reversed(others))
        if self._tasks[current].is_for_many and others:
            self._queue.appendleft(current)
            self._alone.update(worker.assigned)
            return
        if current in self._results:
            return
        self._tries[current] += 1
        if result.outcome == "failed" and self._tries[current] < _MAX_TRIES:
            self._alone.add(current)
            self._queue.append(current)
        else:
            self._results[current] = result

    def _end(self, worker: Worker) -> int:
        """End a worker's process, whatever it does, and forget it. Returns its exit status."""
        for fd in (worker.channel.fileno(), worker.errors):
            if self._by_fd.pop(fd, None) is not None:
                self._poll.unregister(fd)
        self._workers.remove(worker)
        status: int = self._nursery.ask({"op": "end", "pid": worker.pid}).get("status", 0)
        worker.listen()
        worker.close()
        return status

    def _leave_idle_workers(self) -> None:
        """Between calls no worker works, and there are no more than there should be."""
        idle = [worker for worker in self._workers if not worker.is_busy]
        kept = idle[: self._pool.num_workers]
        for worker in [worker for worker in self._workers if worker not in kept]:
            self._end(worker)


def _stuck_after(limit: float) -> float:
    """Seconds on one item after which another worker stands in."""
    return max(_STUCK_SECONDS, _STUCK_SHARE * limit)
