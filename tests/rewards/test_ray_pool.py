"""Workers in a Ray cluster: who dies is replaced, who is late or cannot be placed is told."""

import importlib.util
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from thinkwright.errors import GraderError
from thinkwright.rewards.pool import Job, Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no Ray here"),
    pytest.mark.filterwarnings("ignore"),
]
JOBS = [Job("exact", answer, "7") for answer in ("7", "8", "7", "9", "7.")]


@pytest.fixture(scope="module")
def ray_pool() -> Iterator[Any]:
    """The module, with two processors for it."""
    import ray

    from thinkwright.rewards import ray_pool

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray_pool
    ray.shutdown()


@pytest.fixture
def workers(ray_pool: Any) -> Iterator[Any]:
    with ray_pool.RayWorkerPool(2, "process") as found:
        yield found


def test_verdicts_and_results_come_in_the_order_of_what_was_asked(workers: Any) -> None:
    assert [verdict.score for verdict in workers.grade(JOBS)] == [1.0, 0.0, 1.0, 0.0, 1.0]
    results = workers.run([Task("repetition", "", (text, 2), 10.0) for text in ("a b c", "a b a b a b", "a b c d")])
    assert [result.value < 0 for result in results] == [False, True, False]
    assert workers.grade([]) == []


def test_the_work_of_one_that_died_is_done_by_another(workers: Any) -> None:
    import ray

    ray.kill(workers._actors[1])
    assert [verdict.score for verdict in workers.grade(JOBS)] == [1.0, 0.0, 1.0, 0.0, 1.0]


def test_work_that_kills_again_and_again_is_an_error(ray_pool: Any, workers: Any) -> None:
    import ray

    new = workers._new_actor

    def dead(isolation: str) -> Any:
        actor = new.remote(isolation)
        ray.get(actor.ready.remote())
        ray.kill(actor)
        return actor

    workers._new_actor = SimpleNamespace(remote=dead)
    ray.kill(workers._actors[0])
    with pytest.raises(GraderError, match="reward workers died 3 times over the same answers"):
        workers.grade(JOBS)


def test_what_a_worker_refuses_is_told_as_its_own_words(workers: Any) -> None:
    with pytest.raises(GraderError, match="unknown"):
        workers.grade([Job("unknown", "7", "7")])


def test_one_that_is_late_is_named(ray_pool: Any, workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "WORK_SECONDS", 0.001)
    with pytest.raises(GraderError, match="reward worker 0 did not answer within"):
        workers.grade(JOBS)


def test_no_room_in_the_cluster_is_told_with_what_is_free(ray_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "PLACE_SECONDS", 5.0)
    crowd = ray_pool.RayWorkerPool(3, "process")
    try:
        with pytest.raises(GraderError, match=r"rewards\.workers: no room for 3 of one CPU each"):
            crowd.__enter__()
    finally:
        crowd.__exit__(None, None, None)


def test_one_that_cannot_start_is_told(ray_pool: Any) -> None:
    lost = ray_pool.RayWorkerPool(1, 3)  # no variable of an environment holds that
    try:
        with pytest.raises(GraderError, match="a reward worker died at its start"):
            lost.__enter__()
    finally:
        lost.__exit__(None, None, None)


def test_an_actor_grades_as_a_pool_does(ray_pool: Any) -> None:
    actor = ray_pool.GraderActor("process")
    try:
        actor.ready()
        assert [verdict.score for verdict in actor.grade(JOBS)] == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert actor.run([]) == []
    finally:
        actor._pool.__exit__(None, None, None)
