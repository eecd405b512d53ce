"""The pool against verifiers that hang, die, lie, fork and shout: each costs its own deadline and nothing else."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from thinkwright.errors import GraderError
from thinkwright.rewards.pool import Job, Task, WorkerPool
from thinkwright.rewards.sandbox import sandbox_problem
from thinkwright.rewards.staff import Nursery, Worker

POISON = "tests.rewards.poison:VERIFIERS"


@pytest.fixture(scope="module")
def poisoned() -> Iterator[WorkerPool]:
    with WorkerPool(2, POISON) as pool:
        yield pool


def jobs(*answers: str, gold: str = "g", verifier: str = "quick") -> list[Job]:
    return [Job(verifier, answer, gold) for answer in answers]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def commands(marker: str) -> list[int]:
    """Processes with the marker on their command line."""
    found: list[int] = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        if marker in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return found


def test_verdicts_come_in_the_order_of_the_jobs(poisoned: WorkerPool) -> None:
    verdicts = poisoned.grade(jobs(*[f"gives {i % 5 / 10}" for i in range(500)]))
    assert [verdict.score for verdict in verdicts] == [i % 5 / 10 for i in range(500)]
    assert {verdict.outcome for verdict in verdicts} == {"graded"}
    assert poisoned.grade([]) == []


def test_equal_jobs_are_graded_once(poisoned: WorkerPool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    verdicts = poisoned.grade(jobs(*[f"log {log}"] * 20) + jobs(f"log {log}", gold="h"))
    assert [verdict.score for verdict in verdicts] == [1.0] * 21
    assert sorted(log.read_text().split()) == ["g", "h"]


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("raise this", "ValueError: cannot grade this (poison.py"),
        ("gives nan", "gave nan, not a number"),
        ("gives inf", "gave inf, not a number"),
        ("gives 1.5", "gave 1.5, not a number from 0 to 1"),
        ("gives -0.1", "gave -0.1"),
        ("text right", "gave 'right'"),
        ("exit", "SystemExit"),
        ("recurse", "RecursionError"),
        ("hog", "MemoryError"),
        ("die", "exit status 7: the sky is falling"),
        ("crash", "signal SIGSEGV"),
    ],
)
def test_a_grader_that_fails_is_no_score_but_a_failure_with_the_reason(
    poisoned: WorkerPool, answer: str, detail: str
) -> None:
    for verifier in ("quick", "many"):
        before, failed, after = poisoned.grade(jobs("is g", answer, "is h", verifier=verifier))
        assert (failed.outcome, failed.score) == ("failed", None)
        assert detail in failed.detail
        if answer in ("die", "crash") or verifier == "quick":
            assert (before.score, after.score) == (1.0, 0.0)


def test_the_seconds_that_an_item_takes_are_measured() -> None:
    with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as pool:
        pool.grade([Job("patient", "sleep 0.05", f"g{i}") for i in range(4)])
        assert 0.04 <= pool._seconds["grade", "patient"] < 1
        pool.grade(jobs("gives 0.1"))
        assert 0 < pool._seconds["grade", "quick"] < 1


def test_what_a_function_loads_does_not_count_as_its_time() -> None:
    with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as pool:
        [found] = pool.run([Task("function", "tests.rewards.slow_to_load:half", ([{}], {}), deadline_seconds=0.9)])
    assert (found.outcome, found.value) == ("graded", [0.5])


def test_a_gold_that_cannot_be_read_is_skipped_with_the_reason(poisoned: WorkerPool) -> None:
    for verifier in ("quick", "many"):
        verdicts = poisoned.grade(jobs("is g", verifier=verifier) + jobs("is bad", gold="bad", verifier=verifier))
        assert [(v.outcome, v.score, v.detail) for v in verdicts] == [("graded", 1.0, ""), ("skipped", None, "is bad")]


@pytest.mark.parametrize("poison", ["sleep", "spin"])
@pytest.mark.parametrize("verifier", ["quick", "many"])
def test_a_grader_that_hangs_costs_its_own_verdict_and_no_other(
    poisoned: WorkerPool, poison: str, verifier: str
) -> None:
    answers = ["is g"] * 5 + [poison] + [f"gives 0.{i}" for i in range(1, 90)]
    verdicts = poisoned.grade(jobs(*answers, verifier=verifier))
    assert (verdicts[5].outcome, verdicts[5].score) == ("timeout", None)
    assert "longer than 1 s" in verdicts[5].detail
    assert [v.score for v in verdicts[:5]] == [1.0] * 5
    assert [v.score for v in verdicts[6:]] == [float(f"0.{i}") for i in range(1, 90)]


def test_what_a_hanging_grader_was_given_besides_is_graded_while_it_hangs(poisoned: WorkerPool, tmp_path: Path) -> None:
    # The files appear in the order of grading: those behind the sleepers must not wait for their deadline.
    poisoned.grade(jobs(*["is g"] * 40))
    answers = ["sleep 1001", "sleep 1002", *[f"log {tmp_path / str(i)}" for i in range(20)]]
    seen: list[float] = []

    def watch() -> None:
        until(lambda: len(list(tmp_path.iterdir())) == 20)
        seen.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    verdicts = poisoned.grade(jobs(*answers))
    ended = time.monotonic()
    watcher.join()
    assert [v.outcome for v in verdicts] == ["timeout"] * 2 + ["graded"] * 20
    assert seen[0] < ended


def test_more_sleepers_than_may_be_stood_in_for_still_all_come_back(poisoned: WorkerPool) -> None:
    verdicts = poisoned.grade(jobs(*[f"sleep {1000 + i}" for i in range(25)], "is g"))
    assert [v.outcome for v in verdicts] == ["timeout"] * 25 + ["graded"]


def test_a_grader_that_dies_for_another_s_sake_is_tried_again(poisoned: WorkerPool, tmp_path: Path) -> None:
    for verifier in ("quick", "many"):
        [verdict] = poisoned.grade(jobs(f"die_once {tmp_path / verifier}", verifier=verifier))
        assert (verdict.outcome, verdict.score) == ("graded", 1.0)


def test_what_a_grader_prints_disturbs_nothing(poisoned: WorkerPool) -> None:
    assert [v.score for v in poisoned.grade(jobs("shout", "is g", "is h"))] == [1.0, 1.0, 0.0]


def test_a_child_that_runs_on_reports_nothing(poisoned: WorkerPool) -> None:
    assert [v.score for v in poisoned.grade(jobs("child", "is g", "is h"))] == [0.0, 1.0, 0.0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a dead process's children to the nursery")
def test_a_killed_worker_leaves_no_process_not_even_a_daemon(poisoned: WorkerPool) -> None:
    marker = f"marker-{os.getpid()}"
    [verdict] = poisoned.grade(jobs(f"fork {marker}"))
    assert verdict.outcome == "timeout"
    assert until(lambda: commands(marker) == [])


def test_the_end_of_the_pool_leaves_no_process_and_no_zombie() -> None:
    before = set(psutil.Process().children(recursive=True))
    with WorkerPool(2, POISON) as pool:
        pool.grade(jobs(*["is g", "sleep"] * 4))
        own = set(psutil.Process().children(recursive=True)) - before
        assert len(own) >= 2
    assert until(lambda: not any(process.is_running() for process in own))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a hanging worker outlives a killed parent")
@pytest.mark.parametrize("poison", ["sleep", "spin"])
def test_workers_die_with_a_killed_parent_even_in_the_midst_of_a_call(poison: str) -> None:
    marker = f"parent-{os.getpid()}-{poison}"
    code = (
        "from thinkwright.rewards.pool import Job, WorkerPool\n"
        f"with WorkerPool(2, {POISON!r}) as pool:\n"
        f"    pool.grade([Job('quick', 'is g', 'g')])\n"
        "    print('ready', flush=True)\n"
        "    for i in range(1000):\n"
        f"        pool.grade([Job('quick', '{poison}', str(i)), Job('quick', 'fork {marker}', str(i))])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    assert until(lambda: len(commands(marker)) > 0, seconds=60)  # a call has its second, and may need several
    family = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family))
    assert until(lambda: commands(marker) == [])


def test_several_threads_may_grade_at_once(poisoned: WorkerPool) -> None:
    scores: dict[int, list[float | None]] = {}

    def ask(number: int) -> None:
        scores[number] = [v.score for v in poisoned.grade(jobs(*[f"gives 0.{number}"] * 5, f"is {number}", gold="3"))]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores == {n: [n / 10] * 5 + [float(n == 3)] for n in range(1, 7)}


def pid_of_a_worker(pool: WorkerPool, place: Path) -> int:
    pool.grade(jobs(f"pid {place / 'pid'}"))
    return int((place / "pid").read_text())


def test_a_worker_that_is_slow_to_say_that_it_is_done_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKWRIGHT_TEST_END_SECONDS", "0.02")
    with WorkerPool(1, "tests.rewards.slow_ends:VERIFIERS") as pool:
        # On a busy machine one may be slow to grade, too, and is then ended with its call.
        assert len({pid_of_a_worker(pool, tmp_path) for _ in range(8)}) < 4


def test_a_worker_that_never_says_that_it_is_done_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKWRIGHT_TEST_END_SECONDS", "1000")
    with WorkerPool(1, "tests.rewards.slow_ends:VERIFIERS") as pool:
        assert len({pid_of_a_worker(pool, tmp_path) for _ in range(2)}) == 2


def test_a_worker_killed_between_calls_is_replaced(poisoned: WorkerPool, tmp_path: Path) -> None:
    # On a busy machine a worker that was slow once is ended with its call, so that its number is nobody's.
    pids = (pid_of_a_worker(poisoned, tmp_path) for _ in range(20))
    os.kill(next(pid for pid in pids if psutil.pid_exists(pid)), signal.SIGKILL)
    assert [v.score for v in poisoned.grade(jobs(*[f"gives 0.{i}" for i in range(1, 9)]))] == [
        i / 10 for i in range(1, 9)
    ]


def test_an_unknown_verifier_is_named(poisoned: WorkerPool) -> None:
    with pytest.raises(GraderError, match="no verifier 'no_such_rule'"):
        poisoned.grade(jobs("is g", verifier="no_such_rule"))


def test_graders_that_cannot_start_are_an_error_with_the_reason() -> None:
    with (
        pytest.raises(GraderError, match="No module named 'no_such_module'"),
        WorkerPool(1, "no_such_module:X") as pool,
    ):
        pool.grade(jobs("is g"))


def test_workers_that_die_at_birth_are_an_error() -> None:
    with WorkerPool(1, POISON, memory_bytes=2**70) as pool, pytest.raises(GraderError, match="graders do not start"):
        pool.grade(jobs(*["is g"] * 9))


def test_other_tasks_are_worked_on_by_kind(poisoned: WorkerPool) -> None:
    replies = [{"answer": "abc"}, {"answer": None}]
    tasks = [
        Task("language", "en", ("two words", "?"), 5.0),
        Task("function", "tests.rewards.poison:lengths", (replies, {}), 5.0),
        Task("check", "tests.rewards.poison:later", (), 5.0),
    ]
    english, lengths, problem = poisoned.run(tasks)
    assert english.value == 1.0
    assert lengths.value == [3.0, 0.0]
    assert "async" in problem.value


def test_programs_are_not_graded_without_a_sandbox_unless_the_recipe_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    gold = json.dumps({"kind": "asserts", "tests": ["assert f(3) == 9"]})
    job = Job("functions", "def f(x): return x * x", gold)
    with WorkerPool(1) as pool, pytest.raises(GraderError, match="apt-get install bubblewrap"):
        pool.grade([job])
    with WorkerPool(1, isolation="process") as pool:
        assert pool.grade([job])[0].score == 1.0


@pytest.mark.skipif(sandbox_problem() is not None, reason="needs bubblewrap")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda command: command.unlink(), "could not start .*/bwrap"),
        (lambda command: command.write_text("#!/bin/sh\nexit 9\n"), "no sandbox for a program: it ended with 9"),
    ],
    ids=["missing", "broken"],
)
def test_a_sandbox_that_is_lost_on_the_way_gives_no_rewards(
    damage: Callable[[Path], object], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command, gold = tmp_path / "bwrap", json.dumps({"kind": "asserts", "tests": ["assert f(3) == 9"]})
    command.write_text(f'#!/bin/sh\nexec {shutil.which("bwrap")} "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with WorkerPool(1) as pool:
        assert pool.grade([Job("functions", "def f(x): return x * x", gold)])[0].score == 1.0
        damage(command)
        verdict = pool.grade([Job("functions", "def f(x): return x ** 2", gold)])[0]
    assert verdict.score is None
    assert verdict.outcome == "failed"
    assert re.search(words, verdict.detail)


def test_telling_languages_loads_its_model_once_and_wears_out_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    forked: list[int] = []
    fork = Nursery.fork

    def counted(nursery: Nursery) -> Worker:
        worker = fork(nursery)
        forked.append(worker.pid)
        return worker

    monkeypatch.setattr(Nursery, "fork", counted)
    with WorkerPool(2) as pool:
        for start in range(4):
            texts = [f"The farmer counted {i} apples and gave half of them to his oldest friend." for i in range(100)]
            tasks = [Task("language", "en", (f"{start} {text}", ""), 5.0) for text in texts]
            assert {(result.outcome, result.value) for result in pool.run(tasks)} == {("graded", 1.0)}
    # Two, and those that a call's end finds still starting; each of these would load for a second, and be replaced.
    assert len(forked) <= 10, "no worker was taken for a stuck one while it loads"
