"""Judging of one-line programs: what is let through, what confines the rest, and what happens if the judge fails."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from thinkwright.errors import GraderError
from thinkwright.rewards import program_runner, program_worker
from thinkwright.rewards.program_runner import is_allowed_program, judge_programs, run_programs

GOLD = json.dumps([[x, 3 * x + 2] for x in (0, 3, 7, 12, -4)])
# Reaches the file class through the object graph, as a program past the first wall could.
FILE = (
    "[r for b in ().__class__.__base__.__subclasses__() if b.__name__=='_IOBase' "
    "for s in b.__subclasses__() for r in s.__subclasses__() if r.__name__=='FileIO'][0]"
)


@pytest.mark.parametrize(
    "program",
    ["lambda x: 3*x+2", " lambda x:x*3+2\n", "lambda x: x+x+x+2", "lambda x: 2 if x==0 or not x else 3*x+2",
     "lambda x: round(abs(3*x+2))*(1 if 3*x+2>0 else -1)", "lambda x: int((x**3+x**3)/2//max(x*x,1))*3+2"],
)  # fmt: skip
def test_arithmetic_on_x_with_the_right_values_is_right(program: str) -> None:
    assert judge_programs([(program, GOLD)]) == [True]


def test_one_wrong_value_makes_a_program_wrong() -> None:
    assert judge_programs([("lambda x: 3*x+2 if x<12 else 0", GOLD), ("lambda x: 3*x", GOLD)]) == [False, False]


def test_values_must_have_the_expected_type() -> None:
    truth = json.dumps([[0, False], [5, True]])
    assert judge_programs([("lambda x: x>2", truth), ("lambda x: x//5", truth)]) == [True, False]
    assert judge_programs([("lambda x: 3.0*x+2", GOLD)]) == [False]
    assert judge_programs([("lambda x: x/2", json.dumps([[1, 0.5]]))]) == [True]


def test_verdicts_come_in_the_order_of_the_jobs_and_equal_jobs_share_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(program_runner, "run_programs", lambda programs: ran.extend(programs) or run_programs(programs))
    jobs = [("lambda x: x", GOLD), ("lambda x: 3*x+2", GOLD), ("import os", GOLD), ("lambda x: 3*x+2", GOLD)]
    assert judge_programs(jobs) == [False, True, False, True]
    assert [source for source, _ in ran] == ["lambda x: x", "lambda x: 3*x+2"]


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("[2, 11]\n", True),
        ("[2, 11]", False),
        ("[2, 11]\n[2, 11]\n", False),
        ("[2]\n", False),
        ("[2, 11, 11]\n", False),
        ("[2, 11.0]\n", False),
        ("2\n", False),
        ("[" * 4000 + "\n", False),
        ("\n", False),
        ("", False),
    ],
)
def test_only_one_line_with_exactly_the_expected_values_counts(
    line: str, verdict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_runner, "run_programs", lambda programs: [line for _ in programs])
    assert judge_programs([("lambda x: x", "[[0, 2], [3, 11]]")]) == [verdict]


def test_sixty_programs_cost_less_than_a_second(cpu_seconds: Callable[[], float]) -> None:
    jobs = [(f"lambda x: 3*x+{offset}", GOLD) for offset in range(60)]
    before = cpu_seconds()
    assert judge_programs(jobs) == [offset == 2 for offset in range(60)]
    assert 0 < cpu_seconds() - before < 1.0


NOT_ARITHMETIC = (
    "3*x+2", "f = lambda x: 3*x+2", "def f(x): return 2", "lambda: 2", "lambda y: 3*y+2", "lambda x, y=2: 3*x+2",
    "lambda *x: 2", "lambda x=1: 2", "lambda x:\n1", "", "lambda x:",
    "lambda x: x.real", "lambda x: __import__", "lambda x: _", "lambda x: y", "lambda x: max",
    "lambda x: print(x)", "lambda x: pow(x, 2)", "lambda x: max(*x)", "lambda x: int(x=x)", "lambda x: x(2)",
    "lambda x: (lambda y: y)(x)", "lambda x: [x for x in x]", "lambda x: (y := x)", "lambda x: (yield)",
    "lambda x: [x][0]", "lambda x: (x, x)", "lambda x: {x}", "lambda x: 'a'", 'lambda x: f"{x}"', "lambda x: b'a'",
    "lambda x: 1j", "lambda x: None", "lambda x: ...", "lambda x: x is 3", "lambda x: x << 2",
    "lambda x: x**x", "lambda x: x**11", "lambda x: x**-1", "lambda x: 9**9**9**9", "lambda x: ((x**10)**10)**10",
    "lambda x: abs(x**10)**10", "lambda x: round(x, -999999999)",
    "lambda \N{FULLWIDTH LATIN SMALL LETTER X}: 1", "lambda x: " + "(" * 95 + "x" + ")" * 95, "lambda x: 1" + "+1" * 95,
)  # fmt: skip


@pytest.mark.parametrize("program", NOT_ARITHMETIC)
def test_anything_but_short_arithmetic_on_x_is_not_let_through(program: str) -> None:
    assert not is_allowed_program(program)


def test_odd_spelling_gives_no_warning() -> None:
    assert is_allowed_program("lambda x: 1if x else 2")


HOSTILE = {
    "fails": "lambda x: 1/0",
    "is not Python": "not python",
    "exits": "lambda x: (_ for _ in ()).throw(SystemExit)",
    "imports": "lambda x: __import__('os').getpid()",
    "returns an object": "lambda x: ().__class__",
    "writes too much": "lambda x: [9]*10**4",
    "takes too much memory": "lambda x: ([0]*10**8).__len__()",
    "opens a file": f"lambda x: {FILE}('/dev/zero').read(x).__len__()",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_worker_confines_a_program_that(kind: str) -> None:
    assert run_programs([(HOSTILE[kind], [1]), ("lambda x: x+1", [1, 2.5])]) == ["", "[2, 3.5]\n"]


@pytest.mark.parametrize(
    "program", ["lambda x: 9**9**9**9", "lambda x: [0 for l in [[0]] for _ in l if not l.insert(0, 0)]"]
)
def test_the_worker_kills_a_program_that_does_not_end(program: str, cpu_seconds: Callable[[], float]) -> None:
    before = cpu_seconds()
    assert run_programs([(program, [1]), ("lambda x: x", [1])]) == ["", "[1]\n"]
    assert cpu_seconds() - before < 3


def test_a_program_that_waits_is_killed_at_the_wall_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    lock_class = "[c for c in ().__class__.__base__.__subclasses__() if c.__name__=='_ModuleLock'][0]"
    lock = f"{lock_class}.__init__.__globals__['_thread'].allocate_lock()"
    assert run_programs([(f"lambda x: [l.acquire() for l in [{lock}]]", [1])]) == ["[[true]]\n"]
    monkeypatch.setattr(program_runner, "PROGRAM_WALL_SECONDS", 0.3)
    started = time.monotonic()
    assert run_programs([(f"lambda x: [l.acquire() for l in [{lock}] for _ in (0, 1)]", [1])]) == [""]
    assert time.monotonic() - started >= 0.3


def test_a_program_that_cannot_be_confined_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_runner, "PROGRAM_WALL_SECONDS", -1.0)  # no timer takes that
    with pytest.raises(GraderError, match=r"could not be confined: .*Invalid argument"):
        run_programs([("lambda x: x", [1])])


def test_no_programs_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_runner, "_WORKER", "/nowhere")
    assert judge_programs([]) == []
    assert judge_programs([("print(1)", GOLD), ("lambda x: 1", "no tests")]) == [False, False]


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        ("import sys; sys.exit('out of paper')", "status 1: out of paper"),
        ("import sys; sys.stderr.buffer.write(b'\\xff!'); sys.exit(1)", "status 1: \ufffd!"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "status 0: it said nothing"),
        ("import os, sys; sys.exit(f'PATH {os.environ.get(\"PATH\")}')", "status 1: PATH None"),
        ("print('nonsense')", "status 0: it said nothing"),
        ("print('[]')", "status 0"),
        ("import os; os.kill(os.getpid(), 9)", "status -9"),
        ("""print('[""]'); raise SystemExit(3)""", "status 3"),
    ],
)
def test_a_judge_that_fails_is_an_error_and_never_a_zero(
    worker: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(worker)
    monkeypatch.setattr(program_runner, "_WORKER", script)
    with pytest.raises(GraderError, match=told):
        judge_programs([("lambda x: x", GOLD)])


def test_a_judge_that_hangs_is_an_error_that_names_what_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(program_runner, "_WORKER", script)
    monkeypatch.setattr(program_runner, "START_SECONDS", 0.2)
    with pytest.raises(GraderError, match=r"waited 1 s for worker\.py to run 1 programs"):
        judge_programs([("lambda x: x", GOLD)])


# The worker forks a process that has one thread; the tests' own may have more.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_bytes_that_are_no_text_are_no_answer_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def lies(source: str, arguments: object, calls: object, wall_seconds: float, write_end: int) -> NoReturn:
        os.setpgid(0, 0)
        os.write(write_end, program_worker.READY + b"\n\xff")
        os._exit(0)

    monkeypatch.setattr(program_worker, "_be_the_program", lies)
    assert program_worker.run("lambda x: x", [1], {}, 5.0) == "\ufffd"


def test_a_worker_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(GraderError, match=r"could not start program_worker\.py to run 1 programs"):
        run_programs([("lambda x: x", [1])])
