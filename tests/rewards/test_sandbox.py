"""The sandbox: what it hands back, and what it says where it cannot be had."""

import contextlib
import marshal
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from thinkwright.errors import GraderError
from thinkwright.rewards import sandbox
from thinkwright.rewards.sandbox import ProgramTests, SandboxOutcome, run_program, sandbox_problem

SANDBOX_OPTIONS = sandbox._sandbox_options
ECHO = "import sys\nsys.stdout.write(sys.stdin.read().upper())"


@pytest.fixture(autouse=True)
def _looks_again() -> Iterator[None]:
    """What the tests pretend of the machine is not remembered."""
    sandbox._bubblewrap_problem.cache_clear()
    yield
    sandbox._bubblewrap_problem.cache_clear()


@pytest.fixture(params=["bubblewrap", "process"])
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("THINKWRIGHT_ISOLATION", request.param)
    if (problem := sandbox_problem()) is not None:
        pytest.skip(problem)
    return request.param


def test_where_bubblewrap_can_make_a_sandbox_ours_can_be_made() -> None:
    """All tests of sandboxes are skipped where there can be none: one that is broken must not pass for that."""
    plain = "bwrap --unshare-pid --unshare-net --unshare-ipc --unshare-uts --ro-bind / / --proc /proc true"
    if shutil.which("bwrap") is None or subprocess.run(plain.split(), capture_output=True).returncode != 0:
        pytest.skip("bubblewrap cannot make any")
    assert sandbox_problem() is None


@pytest.mark.usefixtures("isolation")
def test_calls_come_back_as_plain_values_in_order() -> None:
    program = "def f(x): return [x, (1.5, None), {'a': {True}}]"
    tests = ProgramTests(program, calls=["f(1)", "f('\u00e9')", "g()", "f(2**80)"])
    assert list(run_program(tests)) == [
        SandboxOutcome("done", b'[1, {"tuple": [1.5, null]}, {"dict": ["a", {"set": [true]}]}]'),
        SandboxOutcome("done", b'["\\u00e9", {"tuple": [1.5, null]}, {"dict": ["a", {"set": [true]}]}]'),
        SandboxOutcome("raised", b""),
        SandboxOutcome(
            "done", b'[1208925819614629174706176, {"tuple": [1.5, null]}, {"dict": ["a", {"set": [true]}]}]'
        ),
    ]


@pytest.mark.usefixtures("isolation")
def test_scripts_read_their_input_and_leave_by_an_exit_code() -> None:
    assert list(run_program(ProgramTests(ECHO, inputs=["ab\nc", "", "\u00e9" * 100_000]))) == [
        SandboxOutcome("done", b"AB\nC"),
        SandboxOutcome("done", b""),
        SandboxOutcome("done", ("\u00c9" * 100_000).encode()),
    ]
    [outcome] = run_program(ProgramTests("print(1)\nexit(3)", inputs=[""]))
    assert outcome == SandboxOutcome("raised", b"1\n")
    [outcome] = run_program(ProgramTests("print(open('/dev/stdin').read())\nquit()", inputs=["7"]))
    assert outcome == SandboxOutcome("done", b"7\n")


@pytest.mark.usefixtures("isolation")
def test_threads_and_deep_recursion_of_scripts_work() -> None:
    program = (
        "import sys, threading\nsys.setrecursionlimit(10**6)\n"
        "def depth(n): return n if n == 0 else 1 + depth(n - 1)\n"
        "threading.Thread(target=lambda: print(depth(20000))).start()"
    )
    assert list(run_program(ProgramTests(program, inputs=[""]))) == [SandboxOutcome("done", b"20000\n")]


@pytest.mark.usefixtures("isolation")
def test_trusted_code_runs_before_and_after_the_program() -> None:
    tests = ProgramTests(
        "class Solution:\n    def f(self, x: List[int]) -> int:\n        return sum(x) + offset",
        before="from typing import *",
        after="offset = 5",
        entry_point="Solution().f",
        calls=["candidate(x=[1, 2])"],
    )
    assert list(run_program(tests)) == [SandboxOutcome("done", b"8")]


@pytest.mark.usefixtures("isolation")
def test_a_program_that_kills_its_runner_loses_all_its_tests_and_ends_nobody_else() -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        program = "import os, signal\ndef f(x):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return x"
        lost = run_program(ProgramTests(program, calls=["f(0)", "f(1)"], seconds=0.5))
        try:
            assert list(lost) == [SandboxOutcome("lost", b"")] * 2
            assert bystander.poll() is None
        finally:
            bystander.kill()


@pytest.mark.usefixtures("isolation")
def test_each_test_has_its_own_time() -> None:
    program = "def f(x):\n    while x == 1: pass\n    return x"
    statuses = [o.status for o in run_program(ProgramTests(program, calls=["f(0)", "f(1)", "f(2)"], seconds=1))]
    assert statuses[0] == statuses[2] == "done"
    assert statuses[1] in ("died", "timeout")
    program = "import time\ndef f(x):\n    time.sleep(100 * (x == 1))\n    return x"
    statuses = [o.status for o in run_program(ProgramTests(program, calls=["f(0)", "f(1)", "f(2)"], seconds=0.5))]
    assert statuses == ["done", "timeout", "done"]


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize("program", ["time.sleep(100)", "while True: print(1, flush=True); time.sleep(0.001)"])
def test_a_script_that_waits_is_ended_whether_it_writes_or_not(program: str) -> None:
    [outcome] = run_program(ProgramTests(f"import time\n{program}", inputs=[""], seconds=0.2))
    assert outcome == SandboxOutcome("timeout", b"")


@pytest.mark.usefixtures("isolation")
def test_a_copy_that_a_program_makes_of_itself_answers_nothing() -> None:
    copied = "time.sleep(0.3 * (os.fork() > 0))"  # the copy is done first
    for program in (f"{copied}\ndef f(x): return x", f"def f(x):\n    {copied}\n    return x"):
        outcomes = list(run_program(ProgramTests(f"import os, time\n{program}", calls=["f(1)", "f(2)"])))
        assert outcomes == [SandboxOutcome("done", b"1"), SandboxOutcome("done", b"2")]


@pytest.mark.usefixtures("isolation")
def test_queues_come_back_and_integers_without_end_do_not() -> None:
    program = "import collections\ndef f(n): return collections.deque([1, (2,)]) if n == 0 else 1 << n"
    outcomes = list(run_program(ProgramTests(program, calls=["f(0)", "f(1 << 16)", "float('nan')", "-float('inf')"])))
    assert [outcome.status for outcome in outcomes] == ["done", "raised", "done", "done"]
    assert [outcome.body for outcome in outcomes] == [b'{"deque": [1, {"tuple": [2]}]}', b"", b"NaN", b"-Infinity"]


@pytest.mark.usefixtures("isolation")
def test_what_has_some_attributes_of_a_node_is_none() -> None:
    program = (
        "class Node:\n"
        "    def __init__(self, **parts): self.__dict__.update(parts)\n"
        "def f(names): return Node(**dict.fromkeys(names.split()))"
    )
    calls = [f"f({names!r})" for names in ("val next", "val left right", "next", "left right", "val left", "val right")]
    outcomes = list(run_program(ProgramTests(program, calls=calls)))
    assert [outcome.status for outcome in outcomes] == ["done", "done", "raised", "raised", "raised", "raised"]
    assert outcomes[0].body == b'{"linked_list": [null]}'


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize(
    ("program", "status"), [("raise ValueError", "died"), ("exit(0)", "died"), ("import os; os._exit(0)", "died"),
                            ("import time; time.sleep(100)", "timeout")],
)  # fmt: skip
def test_a_program_that_does_not_load_fails_every_call_in_its_way(program: str, status: str) -> None:
    outcomes = run_program(ProgramTests(program, calls=["1", "2"], seconds=0.3))
    assert [outcome.status for outcome in outcomes] == [status, status]


@pytest.fixture
def runner() -> dict[str, Any]:
    """The runner's names in this process, where it kills nothing."""
    names: dict[str, Any] = {"__name__": "runner"}
    exec(marshal.loads(sandbox._runner_code()), names)
    names["os"] = SimpleNamespace(getpid=os.getpid, kill=lambda *_: None)
    return names


def test_the_runner_kills_all_it_can_see_in_a_sandbox_only(runner: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="this is no sandbox"):
        runner["_end_processes"](os.getpid(), True)


def test_the_runner_does_not_wait_for_ever_to_be_alone(runner: dict[str, Any]) -> None:
    started = time.monotonic()
    runner["_wait_until_alone"]()
    assert 1 <= time.monotonic() - started < 30


@pytest.mark.usefixtures("isolation")
def test_what_is_too_long_is_not_read_to_its_end() -> None:
    tests = ProgramTests("while True: print('x' * 10000)", inputs=["", ""])
    assert [outcome.status for outcome in run_program(tests)] == ["too_long", "too_long"]


@pytest.mark.usefixtures("isolation")
def test_closing_early_kills_what_runs(is_left_alone: Callable[[], bool]) -> None:
    with contextlib.closing(
        run_program(ProgramTests("def f(x):\n    while x: pass", calls=["f(0)", "f(1)"]))
    ) as outcomes:
        assert next(outcomes) == SandboxOutcome("done", b"null")
    assert is_left_alone()


@pytest.mark.usefixtures("isolation")
def test_broken_trusted_code_is_the_graders_failure() -> None:
    with pytest.raises(GraderError, match="the code that comes with the question fails: NameError"):
        list(run_program(ProgramTests("", before="unknown", calls=["1"])))


def test_a_process_leaves_no_folder_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THINKWRIGHT_ISOLATION", "process")
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    program = "open('x', 'w').write('y')\nimport os\ndef f(): return os.path.exists('x')"
    assert list(run_program(ProgramTests(program, calls=["f()"]))) == [SandboxOutcome("done", b"true")]
    assert not list(tmp_path.iterdir())


def test_an_unknown_isolation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKWRIGHT_ISOLATION", "none")
    with pytest.raises(GraderError, match="write bubblewrap or process"):
        run_program(ProgramTests("", calls=["1"]))


def test_a_missing_bubblewrap_is_refused_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THINKWRIGHT_ISOLATION", raising=False)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(GraderError, match="apt-get install bubblewrap"):
        run_program(ProgramTests("", calls=["1"]))
    monkeypatch.setenv("THINKWRIGHT_ISOLATION", "process")
    assert sandbox_problem() is None


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_a_bubblewrap_that_fails_is_refused_with_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THINKWRIGHT_ISOLATION", raising=False)
    options = [shutil.which("bwrap"), "--ro-bind", "/no/such/folder", "/x"]
    monkeypatch.setattr(sandbox, "_sandbox_options", lambda: options)
    assert "Can't find source path /no/such/folder" in (sandbox_problem() or "")


def test_the_filter_of_system_calls_is_whole_instructions() -> None:
    steps = sandbox.refused_system_calls()
    assert steps is None or (len(steps) % 8 == 0 and len(steps) < 4096)


@pytest.mark.usefixtures("isolation")
def test_no_descriptor_is_left_open() -> None:
    list(run_program(ProgramTests("def f(): return 1", calls=["f()"])))
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for _ in range(3):
        list(run_program(ProgramTests("def f(): return 1", calls=["f()"])))
    after = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    assert after <= before


def test_root_needs_a_way_to_be_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "setpriv" else f"/usr/bin/{name}")
    assert "as root the sandbox needs setpriv" in (sandbox_problem() or "")


def test_a_sandbox_in_which_a_trivial_program_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sandbox, "_run", lambda tests: iter_of(SandboxOutcome("died", b"")))
    assert "a trivial program fails in the sandbox (died)" in (sandbox_problem() or "")


def iter_of(outcome: SandboxOutcome) -> Generator[SandboxOutcome]:
    yield outcome


@pytest.mark.usefixtures("isolation")
def test_a_program_that_no_file_could_hold_fails_every_test() -> None:
    tests = ProgramTests("print('\ud800')", inputs=["", ""])
    assert [outcome.status for outcome in run_program(tests)] == ["raised", "raised"]


@pytest.mark.parametrize(
    "sent", [b"hello\n", b"0 done 99999999999\n", b"0 done 5\nabc", b"0 done", b"0 " + b"d" * 1000]
)
def test_what_is_no_frame_is_none(sent: bytes) -> None:
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as stream:
        os.write(write_end, sent)
        os.close(write_end)
        assert sandbox._Frames(stream).read(1.0) is None


def test_a_runner_that_cannot_be_started_is_the_graders_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKWRIGHT_ISOLATION", "process")
    monkeypatch.setattr(sandbox, "_python", lambda: "/nowhere/python")
    with pytest.raises(GraderError, match="could not start /nowhere/python"):
        list(run_program(ProgramTests(ECHO, inputs=[""])))


@pytest.mark.parametrize(
    ("script", "told"), [("exit 3", "it ended with 3"), ("exec sleep 100", "nothing came within 1 s")]
)
def test_a_runner_that_says_nothing_is_told_by_how_it_ended(
    script: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setenv("THINKWRIGHT_ISOLATION", "process")
    monkeypatch.setattr(sandbox, "_python", lambda: str(python))
    monkeypatch.setattr(sandbox, "START_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(GraderError, match=f"no sandbox for a program: {told}"):
        list(run_program(ProgramTests(ECHO, inputs=[""])))
    assert time.monotonic() - started < 60


@pytest.mark.usefixtures("isolation")
def test_programs_may_use_the_packages_that_are_offered() -> None:
    assert sandbox._packages()
    program = f"import {', '.join(sandbox._packages())}\ndef f(): return 1"
    assert list(run_program(ProgramTests(program, calls=["f()"]))) == [SandboxOutcome("done", b"1")]


def test_where_system_calls_are_not_known_none_are_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "abacus")
    assert sandbox._system_calls_pipe() is None
    assert "--seccomp" not in sandbox._bubblewrap(None)
    assert "--seccomp" in sandbox._bubblewrap(7)


def test_a_user_makes_a_sandbox_by_a_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert sandbox._bubblewrap(None)[-4:] == ["--unshare-user", "--cap-drop", "ALL", "--"]


@pytest.mark.parametrize(("prefix", "is_bound"), [("/usr", False), ("/opt/python", True)])
def test_a_python_outside_of_usr_is_brought_along(prefix: str, is_bound: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    options = [*pairwise(SANDBOX_OPTIONS.__wrapped__())]
    assert (("--dir", "/opt") in options) is is_bound
    assert (("--ro-bind", "/opt/python") in options) is is_bound
