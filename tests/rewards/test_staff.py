"""A nursery, its workers and their desk, each by itself: what becomes of what is gone, silent or odd."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from tests.rewards.test_pool import until
from thinkwright.errors import GraderError
from thinkwright.rewards import pool as pool_module
from thinkwright.rewards import staff, worker
from thinkwright.rewards.pool import Job, Task, WorkerPool
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.rewards.staff import Nursery, Worker
from thinkwright.rewards.verifier import Verifier

MEMORY = 8 << 30
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # of copies that live for a moment
]
GOLDS_CHECKED: list[str] = []


def checked(gold: str) -> str | None:
    GOLDS_CHECKED.append(gold)
    return "no gold" if gold == "none" else None


QUICK = Verifier(checked, lambda answer, gold: float(answer), wrong_answer=lambda gold: "0")


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    found = Nursery("tests.rewards.poison:VERIFIERS", MEMORY, {})
    yield found
    found.close()


@pytest.fixture
def pair() -> Iterator[tuple[Worker, socket.socket]]:
    """A worker as the pool sees it, whose other end the test holds."""
    ours, theirs = socket.socketpair()
    errors, their_errors = os.pipe()
    yield Worker(os.getpid(), ours, errors), theirs
    for end in (ours, theirs):
        end.close()
    for descriptor in (errors, their_errors):
        os.close(descriptor)


def test_a_nursery_that_cannot_be_started_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(GraderError, match=r"the graders' process does not start: .*/nowhere/python"):
        Nursery("tests.rewards.poison:VERIFIERS", MEMORY, {})


def test_a_nursery_that_ends_when_asked_gives_its_last_words(nursery: Nursery) -> None:
    with pytest.raises(GraderError, match=r"the graders' process does not work \(it ended\).*KeyError"):
        nursery.ask({"op": "warm"})  # without names


def test_a_worker_that_cannot_be_asked_for_leaves_no_descriptor(nursery: Nursery) -> None:
    nursery.ask({"op": "warm", "names": []})
    before = len(os.listdir("/proc/self/fd"))
    nursery._process.kill()
    nursery._process.wait()
    with pytest.raises(GraderError, match=r"the graders' process does not work.*\bit said nothing"):
        nursery.fork()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_no_room_for_a_worker_is_told_with_what_would_help(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(nursery, "ask", lambda request, fds=(): {"error": "too many processes"})
    with pytest.raises(GraderError, match=r"no process for a grader: too many processes; free memory.*ulimit -u"):
        nursery.fork()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_nursery_that_does_not_end_is_killed(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff, "_END_SECONDS", 0.1)
    nursery.ask({"op": "warm", "names": []})
    nursery._process.send_signal(signal.SIGSTOP)
    nursery.close()
    assert nursery._process.returncode == -signal.SIGKILL


def test_a_worker_that_is_gone_takes_nothing_and_says_nothing(pair: tuple[Worker, socket.socket]) -> None:
    found, theirs = pair
    theirs.close()
    assert not found.begin([1], {"kind": "grade"})
    assert found.receive() is None
    found.channel.close()
    assert found.receive() is None


def test_what_is_no_message_is_as_good_as_gone(pair: tuple[Worker, socket.socket]) -> None:
    found, theirs = pair
    theirs.sendall(b'["ready"]\n["res')
    assert found.receive() == [["ready"]]
    theirs.sendall(b"oh\n")
    assert found.receive() is None


def test_standard_error_is_read_to_its_end(pair: tuple[Worker, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = pair
    assert found.listen()  # nothing is there yet

    def broken(*_: object) -> NoReturn:
        raise OSError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", broken)
        assert not found.listen()


def test_last_words_that_are_no_text_are_told_as_far_as_they_are(pair: tuple[Worker, socket.socket]) -> None:
    found, _ = pair
    found._words = b"torn \xff words"
    assert found.how_it_died(3) == "its process died (exit status 3: torn \ufffd words)"


def test_a_worker_that_takes_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staff, "START_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    errors, their_errors = os.pipe()
    with ours, theirs:
        assert not Worker(os.getpid(), ours, errors).begin([1], {"text": "x" * (8 << 20)})  # more than a socket holds
    for descriptor in (errors, their_errors):
        os.close(descriptor)


def test_a_signal_without_a_name_is_told_by_its_number(pair: tuple[Worker, socket.socket]) -> None:
    assert pair[0].how_it_died(-200) == "its process died (signal 200)"
    assert pair[0].how_it_died(0) == "its process died (exit status 0)"


@pytest.mark.parametrize(("script", "is_demoted"), [("while True: pass", True), ("import time; time.sleep(60)", False)])
def test_one_that_computes_lets_others_go_first_and_one_that_waits_need_not(
    script: str, is_demoted: bool, pair: tuple[Worker, socket.socket]
) -> None:
    found, _ = pair
    with subprocess.Popen(
        [sys.executable, "-S", "-c", f"print(flush=True)\n{script}"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found.pid = process.pid
        status = psutil.STATUS_RUNNING if is_demoted else psutil.STATUS_SLEEPING
        assert until(lambda: psutil.Process(process.pid).status() == status)
        found.demote()
        assert found.is_demoted is is_demoted
        process.kill()


def test_a_worker_that_closes_its_standard_error_goes_on_and_may_still_die(tmp_path: Path) -> None:
    with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as graders:
        answers = ["closes_errors", f"die_once {tmp_path / 'died'}", "gives 0.5"]
        assert [v.score for v in graders.grade([Job("quick", answer, "g") for answer in answers])] == [1.0, 1.0, 0.5]


def test_a_grader_has_one_thread_and_leaves_our_input_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    read_end, write_end = os.pipe()
    os.write(write_end, b"for somebody else")
    os.close(write_end)
    own = os.dup(0)
    os.dup2(read_end, 0)
    try:
        with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as graders:
            asked = [("variable OMP_NUM_THREADS", "1"), ("variable PYTHONHASHSEED", "0"), ("reads", "")]
            verdicts = graders.grade([Job("quick", answer, gold) for answer, gold in asked])
        assert [verdict.score for verdict in verdicts] == [1.0, 1.0, 0.0]
        assert os.read(0, 100) == b"for somebody else"
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(read_end)


def test_one_that_was_at_work_when_a_grader_died_is_tried_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    batches, begin = list[list[int]](), Worker.begin

    def noted(self: Worker, batch: Sequence[int], message: dict[str, Any]) -> bool:
        batches.append(list(batch))
        return begin(self, batch, message)

    monkeypatch.setattr(Worker, "begin", noted)
    with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as graders:
        answers = [f"die_once {tmp_path / 'died'}", "gives 0.25", "gives 0.5", "gives 0.75"]
        verdicts = graders.grade([Job("patient", answer, "g") for answer in answers])
    assert [verdict.score for verdict in verdicts] == [1.0, 0.25, 0.5, 0.75]
    first, *others = batches[0]
    assert batches == [[first, *others], others, [first]]


def test_a_worker_wears_out_and_another_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_ITEMS_PER_WORKER", 3)
    forked, fork = list[int](), Nursery.fork

    def counted(self: Nursery) -> Worker:
        found = fork(self)
        forked.append(found.pid)
        return found

    monkeypatch.setattr(Nursery, "fork", counted)
    with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as graders:
        verdicts = graders.grade([Job("quick", f"gives {i / 10}", "g") for i in range(10)])
        assert [verdict.score for verdict in verdicts] == [i / 10 for i in range(10)]
    assert len(forked) > 1


def test_a_worker_that_is_gone_before_it_is_given_a_batch_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    sends, send = list[str](), Worker.send

    def once_lost(self: Worker, message: dict[str, Any]) -> bool:
        sends.append(message["kind"])
        return len(sends) > 1 and send(self, message)

    monkeypatch.setattr(Worker, "send", once_lost)
    with WorkerPool(1, "tests.rewards.poison:VERIFIERS") as graders:
        assert graders.grade([Job("quick", "gives 0.5", "g")])[0].score == 0.5
    assert len(sends) == 2


def test_an_idle_worker_that_dies_while_another_works_is_missed_by_nobody(tmp_path: Path) -> None:
    with WorkerPool(2, "tests.rewards.poison:VERIFIERS") as graders:
        verdicts = list[Any]()

        def begin(*ends: str) -> threading.Thread:
            jobs = [Job("patient", f"waits_for {tmp_path / end}", f"g{i}") for i, end in enumerate(ends)]
            thread = threading.Thread(target=lambda: verdicts.extend(graders.grade(jobs)))
            thread.start()
            assert until(lambda: sum(found.is_busy for found in graders._workers) == len(jobs))
            return thread

        both = begin("first", "first")
        (tmp_path / "first").touch()
        both.join()
        verdicts.clear()
        working = begin("end")
        [idle] = [found for found in graders._workers if not found.is_busy]
        os.kill(idle.pid, signal.SIGKILL)
        assert until(lambda: idle not in graders._workers)
        (tmp_path / "end").touch()
        working.join()
        assert verdicts[0].score == 1.0


def test_a_pool_that_was_never_begun_ends_without_a_word() -> None:
    graders, before = WorkerPool(), set(worker._children())
    graders.__exit__(None, None, None)
    assert graders._nursery is None
    assert set(worker._children()) == before


def test_a_nursery_without_room_for_another_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> NoReturn:
        raise OSError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_room)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = worker._fork(ours, [], worker.Desk({}), set(), MEMORY)
    assert found == {"error": "Resource temporarily unavailable"}


def test_a_worker_that_was_killed_leaves_no_child_behind() -> None:
    pids = {os.posix_spawnp("sleep", ["sleep", "100"], os.environ) for _ in range(2)}
    own = os.fork()
    if own == 0:
        os._exit(7)
    kept = set(worker._children()) - pids - {own}
    os.waitid(os.P_PID, own, os.WEXITED | os.WNOWAIT)  # it has ended, and is still to be asked how
    assert worker._end(own, kept) == 7
    assert not pids & set(worker._children())


def test_what_cannot_be_swept_away_does_not_hold_the_nursery_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_MAX_SWEEPS", 2)
    monkeypatch.setattr(worker, "_children", lambda: [2**22 + 1])  # no process has this number
    own = os.fork()
    if own == 0:
        os._exit(7)
    os.waitid(os.P_PID, own, os.WEXITED | os.WNOWAIT)
    assert worker._end(own, {own}) == 7


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("is_orphan", [False, True])
def test_a_worker_lives_as_long_as_its_channel_and_its_nursery(platform: str, is_orphan: bool) -> None:
    ours, theirs = socket.socketpair()
    errors, their_errors = os.pipe()
    own = os.fork()
    if own == 0:
        parents = iter([1, 2 if is_orphan else 1])
        sys.platform, os.getppid = platform, lambda: next(parents)
        ours.close()
        worker._become_worker(theirs.fileno(), their_errors, worker.Desk({}), 1 << 45)  # a copy of all this holds much
    theirs.close()
    os.close(their_errors)
    with ours, open(errors, "rb") as words:
        ours.shutdown(socket.SHUT_WR)
        assert ours.makefile("rb").read() == (b"" if is_orphan else b'["ready"]\n')
        assert os.waitstatus_to_exitcode(os.waitpid(own, 0)[1]) == 1
        assert words.read() == b""


def test_where_children_cannot_be_listed_there_are_none_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> NoReturn:
        raise OSError("no /proc")

    monkeypatch.setattr(Path, "read_text", closed)
    assert worker._children() == []


def test_a_nursery_answers_until_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which takes no children in and reaps none."""
    monkeypatch.setattr(worker, "_prctl", lambda option, value: None)
    monkeypatch.setattr(worker, "_reap", lambda pids: None)
    ours, theirs = socket.socketpair()
    requests = [{"op": "warm", "names": ["quick", "unknown"]}, {"op": "load", "kind": "language"}]
    told = list[Any]()

    def ask() -> None:
        with ours:
            ours.settimeout(60)
            for request in requests:
                ours.sendall(json.dumps(request).encode())
                told.append(json.loads(ours.recv(2**16)))

    asking = threading.Thread(target=ask)
    asking.start()
    worker.main("tests.rewards.poison:VERIFIERS", os.dup(theirs.fileno()), MEMORY)
    asking.join()
    assert told[0]["unknown"] is None
    assert told[0]["quick"]["deadline_seconds"] > 0
    assert told[1] == {}
    parents = iter([1, 2])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))  # the pool's process is gone before it asks anything
    worker.main("tests.rewards.poison:VERIFIERS", os.dup(theirs.fileno()), MEMORY)
    theirs.close()


def worked(*batches: dict[str, Any], verifiers: dict[str, Verifier]) -> list[list[Any]]:
    """What a worker says to batches, until its channel is closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(json.dumps(batch).encode() + b"\n" for batch in batches))
        ours.shutdown(socket.SHUT_WR)
        worker.work(theirs, worker.Desk(verifiers))
        theirs.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in ours.makefile("rb")]


def test_a_worker_says_when_it_loads_and_passes_over_what_was_taken_back() -> None:
    batch = {"kind": "grade", "name": "quick", "items": [[4, ["0.5", "g"]]]}
    said = worked({}, batch, batch, verifiers={"quick": QUICK})
    result = [["result", 4, "graded", 0.5, ""], ["done"]]
    assert said == [["ready"], ["warming"], ["warm"], *result, *result]


def test_a_copy_of_a_worker_that_a_verifier_made_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter([1, 2])

    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(os, "getpid", lambda: next(ids))
    monkeypatch.setattr(os, "_exit", leave)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        batch = {"kind": "grade", "name": "quick", "items": [[4, ["0.5", "g"]]]}
        ours.sendall(json.dumps(batch).encode() + b"\n")
        with pytest.raises(SystemExit):
            worker.work(theirs, worker.Desk({"quick": QUICK}))
        assert ours.recv(2**16).splitlines() == [b'["ready"]', b'["warming"]', b'["warm"]']


def no_more() -> bool:
    return True


def test_a_desk_stops_between_items_once_the_rest_is_taken_back() -> None:
    items = [[i, ["0.5", "g"]] for i in range(3)]
    found = list(worker.Desk({"quick": QUICK}).results({"kind": "grade", "name": "quick", "items": items}, no_more))
    assert found == [(0, ("graded", 0.5, ""))]


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "outcome"),
    [
        ("language", "en", ["a text of words", ""], "graded"),
        ("repetition", "", ["a b a b a b a b", 2], "graded"),
        ("function", "tests.rewards.test_staff:reward", [[], {}], "graded"),
        ("check", "tests.rewards.test_staff:reward", [], "graded"),
        ("grade", "quick", ["0.5", "none"], "skipped"),
    ],
)
def test_a_desk_does_every_kind_of_work(kind: str, name: str, arguments: list[Any], outcome: str) -> None:
    desk = worker.Desk({"quick": QUICK})
    desk.warm(kind, name)
    assert desk.is_warm(kind, name)
    [(_, found)] = desk.results({"kind": kind, "name": name, "items": [[0, arguments]]}, no_more)
    assert found[0] == outcome


def test_to_warm_a_verifier_is_to_load_what_it_needs() -> None:
    loaded = list[str]()
    desk = worker.Desk({"quick": replace(QUICK, load=lambda: loaded.append("once"))})
    desk.warm("grade", "quick")
    assert loaded == ["once"]


def test_a_function_that_is_not_there_is_told_as_a_problem() -> None:
    [(_, found)] = worker.Desk({}).results({"kind": "check", "name": "nowhere:reward", "items": [[0, []]]}, no_more)
    assert found[0] == "graded"
    assert "nowhere" in found[1]


def reward(replies: object, prompt: object) -> list[float]:
    return []


def many(scores: Callable[[int], list[float]]) -> Verifier:
    return replace(QUICK, grade_many=lambda jobs: scores(len(jobs)))


@pytest.mark.parametrize(
    ("verifier", "told"),
    [
        (many(lambda count: [0.25] * count), [("graded", 0.25, ""), ("skipped", None, "no gold")]),
        (many(lambda count: [0.25] * (count + 1)), [("failed", None, "gave 2 scores for 1 answers"),
                                                    ("skipped", None, "no gold")]),
    ],
)  # fmt: skip
def test_of_answers_graded_together_every_one_has_its_result(verifier: Verifier, told: list[Any]) -> None:
    items = [[0, ["a", "g"]], [1, ["a", "none"]]]
    found = worker.Desk({"all": verifier}).results({"kind": "grade", "name": "all", "items": items}, no_more)
    for (_, result), wanted in zip(found, told, strict=True):
        assert result[:2] == wanted[:2]
        assert wanted[2] in result[2]


def test_a_gold_is_checked_once_and_not_too_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_MAX_KEPT_REASONS", 2)
    GOLDS_CHECKED.clear()
    desk = worker.Desk({"quick": QUICK})
    for gold in ("a", "a", "b", "c", "a"):
        assert desk._gold_problem("quick", gold) is None
    assert GOLDS_CHECKED == ["a", "b", "c", "a"]


@pytest.mark.parametrize("value", [2, -0.5, float("nan"), "1", None])
def test_what_is_no_score_is_a_failure(value: object) -> None:
    assert worker.score_of(value)[0] == "failed"


def test_every_verifier_that_is_shipped_is_described() -> None:
    desk = worker.Desk(VERIFIERS)
    assert all(desk.describe(name) for name in VERIFIERS)


def test_other_tasks_than_grading_need_no_verifier() -> None:
    with WorkerPool(1) as graders:
        found = graders.run([Task("repetition", "", (text, 2), 10.0) for text in ("a b", "a b a b a b")])
    assert [result.outcome for result in found] == ["graded", "graded"]
    assert found[1].value < found[0].value == 0
