"""Workers that grade, as actors of a Ray cluster: each has a pool of one worker on the node where it was placed."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from thinkwright.errors import GraderError
from thinkwright.rewards.pool import Job, Result, Task, Verdict, WorkerPool
from thinkwright.types import Isolation

PLACE_SECONDS = 600.0
"""The longest wait for room in the cluster."""
WORK_SECONDS = 1800.0
"""The longest wait for an actor's share; each answer has a far shorter deadline of its own there."""
MAX_DEATHS = 3
"""So many times the same work is given to another actor, when one dies over it."""


class GraderActor:
    """A pool in a process of its own."""

    def __init__(self, isolation: Isolation) -> None:
        self._pool = WorkerPool(1, isolation=isolation).__enter__()

    def ready(self) -> None:
        """Answers once the process is there."""

    def grade(self, jobs: Sequence[Job]) -> list[Verdict]:
        """See ``WorkerPool``."""
        return self._pool.grade(jobs)

    def run(self, tasks: Sequence[Task]) -> list[Result]:
        """See ``WorkerPool``."""
        return self._pool.run(tasks)


class RayWorkerPool(WorkerPool):
    """See ``WorkerPool``; work is dealt out evenly, and done again elsewhere when a node dies over it."""

    def __init__(self, num_workers: int, isolation: Isolation) -> None:
        """``num_workers``: actors, of one CPU each."""
        super().__init__(num_workers, isolation=isolation)
        as_actor: Any = ray.remote(num_cpus=1, max_restarts=0)
        self._new_actor: Any = as_actor(GraderActor)
        self._actors: list[Any] = []

    def __enter__(self) -> "RayWorkerPool":
        self._actors = [self._new_actor.remote(self._isolation) for _ in range(self.num_workers)]
        try:
            ray.get([actor.ready.remote() for actor in self._actors], timeout=PLACE_SECONDS)
        except GetTimeoutError as error:
            raise GraderError(
                f"rewards.workers: no room for {self.num_workers} of one CPU each in the cluster within "
                f"{PLACE_SECONDS:g} s: of {ray.cluster_resources()} are free {ray.available_resources()}"
            ) from error
        except RayActorError as error:
            raise GraderError(f"a reward worker died at its start: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for actor in self._actors:
            ray.kill(actor)  # pyright: ignore[reportUnknownMemberType]
        self._actors = []

    def grade(self, jobs: Sequence[Job]) -> list[Verdict]:
        """See ``WorkerPool``."""
        unlike = list(dict.fromkeys(jobs))
        verdicts = dict(zip(unlike, self._dealt_out("grade", unlike), strict=True))
        return [verdicts[job] for job in jobs]

    def run(self, tasks: Sequence[Task]) -> list[Result]:
        """See ``WorkerPool``."""
        return self._dealt_out("run", tasks)

    def _dealt_out(self, method: str, items: Sequence[Any]) -> list[Any]:
        """Every n-th item to each of n actors. Raises GraderError as the pool does, or if actors die repeatedly."""
        count = len(self._actors)
        shares = {place: items[place::count] for place in range(min(count, len(items)))}
        found: list[Any] = [None] * len(items)
        lost: dict[int, Exception] = {}
        for _ in range(MAX_DEATHS):
            asked = {place: getattr(self._actors[place], method).remote(share) for place, share in shares.items()}
            lost = {}
            for place, reference in asked.items():
                try:
                    found[place::count] = ray.get(reference, timeout=WORK_SECONDS)
                except GetTimeoutError as error:
                    raise GraderError(f"reward worker {place} did not answer within {WORK_SECONDS:g} s") from error
                except RayActorError as error:
                    lost[place] = error
                    self._actors[place] = self._new_actor.remote(self._isolation)  # waits for room, and keeps calls
                except RayError as error:
                    raise getattr(error, "cause", None) or GraderError(str(error)) from error
            shares = {place: shares[place] for place in lost}
            if not shares:
                return found
        raise GraderError(f"reward workers died {MAX_DEATHS} times over the same answers: {next(iter(lost.values()))}")
