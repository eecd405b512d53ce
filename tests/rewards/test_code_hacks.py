"""Ways a program is paid without solving the problem, or harms the machine; none pays, none leaves a trace."""

import json
import os
import socket
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from thinkwright.rewards import sandbox
from thinkwright.rewards.sandbox import sandbox_problem
from thinkwright.rewards.verifiers import functions, stdin_stdout

SECRET = "hidden-answer-7261"
GOLD = json.dumps({"kind": "asserts", "tests": [f"assert f(1) == {SECRET!r}", "assert f(2) == [4, 5]"], "seconds": 1})
NUMBERS_GOLD = json.dumps({"kind": "asserts", "tests": ["assert f(3) == 9", "assert f(4) == 16"], "seconds": 1})
SCRIPT_GOLD = json.dumps({"inputs": ["3\n", "4\n"], "outputs": ["9\n", "16\n"], "seconds": 1})
HASTY_GOLD = json.dumps({**json.loads(NUMBERS_GOLD), "seconds": 0.2})
"""For programs that use up whatever time they are given; an honest one on a busy machine may need more."""


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    if (problem := sandbox_problem()) is not None:
        pytest.skip(problem)


def paid(program: str, gold: str = NUMBERS_GOLD) -> float:
    return functions.VERIFIER.grade(f"```python\n{textwrap.dedent(program)}\n```", gold)


def paid_script(program: str) -> float:
    return stdin_stdout.VERIFIER.grade(f"```python\n{textwrap.dedent(program)}\n```", SCRIPT_GOLD)


def test_honest_programs_are_paid() -> None:
    assert paid("def f(x): return x * x") == 1.0
    assert paid_script("print(int(input()) ** 2)") == 1.0


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import os; os._exit(0)",
        "def f(x):\n    import os; os._exit(0)",
        "def f(x):\n    raise AssertionError",
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        "import os, signal; os.kill(-1, signal.SIGKILL)",
        "def f(x): return NotImplemented",
        "def f(x): return f",
        "def f(x): yield x * x",
        "def f(x): return [x * x]",
        "def f(x): return str(x * x)",
        "def f(x): return float('nan')",
        "def f(x): return 9",
        "f = 9",
        "",
    ],
)
def test_leaving_early_or_returning_something_else_does_not_pay(program: str) -> None:
    assert paid(program) == 0.0


def test_stopping_who_runs_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SLACK_SECONDS", 0.5)
    assert paid("import os, signal; os.kill(os.getppid(), signal.SIGSTOP)", HASTY_GOLD) == 0.0


@pytest.mark.parametrize("base", ["object", "int", "str", "float", "list", "dict"])
def test_objects_that_say_they_equal_everything_do_not_pay(base: str) -> None:
    program = f"""
        class Everything({base}):
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def __bool__(self): return True
            def __hash__(self): return 0
            def __repr__(self): return "9"
            def __index__(self): return 9
            def __pos__(self): return 9
            __int__ = __float__ = __str__ = __class__ = property(lambda self: int)
        def f(x): return Everything()
        """
    assert paid(program) == 0.0


def test_a_metaclass_that_claims_every_type_does_not_pay() -> None:
    program = """
        class Meta(type):
            def __eq__(cls, other): return True
            def __subclasscheck__(cls, other): return True
            def __instancecheck__(cls, other): return True
            __hash__ = type.__hash__
            __mro__ = (int, object)
        class Value(metaclass=Meta):
            def __eq__(self, other): return True
        def f(x): return Value()
        """
    assert paid(program) == 0.0


@pytest.mark.parametrize(
    "program",
    [
        """
        import builtins, sys
        def f(x): return 0
        for name in ("isinstance", "issubclass", "type", "len", "all", "map", "compile", "eval", "exec", "repr"):
            setattr(builtins, name, lambda *a, **k: True)
        builtins.AssertionError = KeyError
        """,
        """
        import sys
        frame = sys._getframe()
        while frame:
            frame.f_globals.update(encode=lambda *a: "true", write_frame=lambda *a: None, run_test=lambda *a: True)
            frame.f_locals["request"] = {}
            frame = frame.f_back
        def f(x): return True
        """,
        """
        import gc
        for found in gc.get_objects():
            if isinstance(found, dict) and "calls" in found:
                found["calls"][:] = ["True", "1"]
        def f(x): return None
        """,
        """
        import sys
        sys.modules["__main__"].encode = lambda value, depth=0: '{"everything": []}'
        def f(x): return 0
        """,
    ],
)
def test_patching_what_runs_the_tests_does_not_pay(program: str) -> None:
    assert paid(program) == 0.0


def test_the_expected_values_are_nowhere_to_be_read() -> None:
    program = """
        import gc, glob, os, re, sys
        PATTERN = re.compile(b"hidden" + b"-answer-[0-9]+")
        def search(data):
            found = PATTERN.search(data if isinstance(data, bytes) else repr(data).encode(errors="replace"))
            if found:
                os.write(2, found[0])
                raise_found.append(found[0].decode())
        raise_found = []
        def f(x):
            for path in glob.glob("/proc/[0-9]*/*") + glob.glob("/proc/[0-9]*/fd/*") + glob.glob("/tmp/*"):
                if path.endswith(("/mem", "/maps", "kmsg", "pagemap")) or not os.path.isfile(path):
                    continue
                try:
                    with open(path, "rb", buffering=0) as file: search(file.read(1 << 20))
                except OSError: pass
            for maps in glob.glob("/proc/[0-9]*/maps"):
                try:
                    lines = open(maps).read().splitlines()
                    with open(maps[:-1 * len("maps")] + "mem", "rb", buffering=0) as memory:
                        for line in lines:
                            ends, access = line.split()[:2]
                            start, end = (int(part, 16) for part in ends.split("-"))
                            if access.startswith("rw"):
                                try:
                                    memory.seek(start)
                                    search(memory.read(min(end - start, 1 << 24)))
                                except (OSError, ValueError): pass
                except OSError: pass
            frame = sys._getframe()
            while frame:
                search(frame.f_locals); search(frame.f_globals)
                frame = frame.f_back
            for found in gc.get_objects(): search(found)
            search(sys.argv); search(dict(os.environ))
            return raise_found[0] if raise_found else None
        """
    gold = json.loads(GOLD)
    gold["tests"], gold["seconds"] = [f"assert f(1) == {SECRET!r}"], 10
    assert paid(program, json.dumps(gold)) == 0.0
    # The same search does find what is there to be found.
    assert paid(program, json.dumps({**gold, "setup": f"helper = {SECRET!r}"})) == 1.0


@pytest.mark.parametrize("where", ["/proc/self/fd", "/proc/2/fd", "/proc/1/fd"])
@pytest.mark.parametrize(
    "forged",
    [
        "0 done 1\\n91 done 1\\n9",
        "-1 ready 0\\n",
        "0 done 99999999\\n",
        "1 done 2\\n16",
        "true\\n" * 3,
        "\\x00\\xff" * 9,
    ],
)
def test_writing_to_every_open_channel_does_not_pay(where: str, forged: str, is_left_alone: Callable[[], bool]) -> None:
    program = f"""
        import os
        for name in os.listdir({where!r}):
            for open_one in (lambda: int(name), lambda: os.open({where!r} + "/" + name, os.O_WRONLY)):
                try: os.write(open_one(), b"{forged}")
                except (OSError, ValueError): pass
        def f(x): return None
        """
    assert paid(program) == 0.0
    assert is_left_alone()


def test_a_forged_value_is_only_a_value() -> None:
    program = """
        import os
        def f(x):
            for descriptor in range(3, 64):
                try: os.write(descriptor, b"true")
                except OSError: pass
            os._exit(0)
        """
    assert paid(program) == 0.0


ENDLESS = [
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "import os\nwhile True: os.fork()",
    "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "while True: pass",
    "def f(x):\n    while True: pass",
    "import time; time.sleep(1000)",
    "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except Exception: pass\n"
    "while True: pass",
    "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(1000)",
    "def f(x): return 9**9**9**9",
    "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
]
HUNGRY_OR_BROKEN = [
    "x = [0] * 10**10",
    "x = []\nwhile True: x.append(bytearray(10**6))",
    "x = 'a'\nwhile True: x += x",
    "def f(x): return f(x)",
    "import sys; sys.setrecursionlimit(10**9)\ndef f(x): return f(x) + 1",
    "def f(x): return 10**10**7",
    "def f(x): return 'a' * 10**8",
    "def f(x):\n    value = []\n    for _ in range(10**5): value = [value]\n    return value",
    "def f(x):\n    value = []\n    value.append(value)\n    return value",
    "def f(x): return '\\ud800\\x00\\udfff'",
    "x = " + "(" * 5000 + ")" * 5000,
    "x = " + "-" * 50000 + "1",
    "\x00",
    "\ud800",
    "import ctypes; ctypes.string_at(0)",
    "import os; os.close(1); os.close(2)\nfor n in range(3, 99):\n    try: os.close(n)\n    except OSError: pass",
]


@pytest.mark.parametrize("program", [*ENDLESS, *HUNGRY_OR_BROKEN])
def test_programs_that_hang_or_eat_everything_cost_their_own_time_alone(
    program: str, is_left_alone: Callable[[], bool]
) -> None:
    before = time.monotonic()
    assert paid(program, HASTY_GOLD if program in ENDLESS else NUMBERS_GOLD) == 0.0
    assert time.monotonic() - before < 15
    assert is_left_alone()
    assert paid("def f(x): return x * x") == 1.0


@pytest.mark.parametrize(
    "program",
    [
        "while True: print('9' * 1000)",
        "import sys, os\nwhile True: os.write(1, b'9' * 65536)",
        "print('9' * 10**7)",
        "import sys; sys.set_int_max_str_digits(0); print(7 ** 10**7)",
        "print('9')\nraise SystemExit(1)",
        "print('9\\x00')",
        "import sys; sys.stdout.buffer.write(b'\\xff\\xfe9')",
        "print('\\ud800')",
        "import os; os.close(1)",
        "import sys; sys.stdout.close()",
        "print(9); print(16)",
        "print('9' if input() else 0); import os; os.abort()",
        "import os\nif os.fork() == 0:\n    while True: os.write(1, b'9')",
    ],
)
def test_scripts_that_print_too_much_too_little_or_rubbish_are_not_paid(
    program: str, is_left_alone: Callable[[], bool]
) -> None:
    before = time.monotonic()
    assert paid_script(program) == 0.0
    assert time.monotonic() - before < 15
    assert is_left_alone()


def test_a_daemon_does_not_outlive_its_test(is_left_alone: Callable[[], bool]) -> None:
    program = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                while True: time.sleep(0.01)
            os._exit(0)
        def f(x): return sum(name.isdigit() for name in os.listdir("/proc")) * 0 + x * x
        """
    assert paid(program) == 1.0  # it is right, after all
    assert is_left_alone()


def test_a_daemon_of_the_first_run_is_not_there_in_the_second(is_left_alone: Callable[[], bool]) -> None:
    program = """
        import os, time
        known = [name for name in os.listdir("/proc") if name.isdigit()]
        if os.fork() == 0:
            os.setsid()
            os.close(1)
            time.sleep(100)
        print(len(known))
        """
    gold = json.dumps({"inputs": ["", ""], "outputs": ["3", "3"]})
    with ThreadPoolExecutor(4) as graders:  # on a busy machine what was killed takes its time to go
        scores = list(graders.map(lambda _: stdin_stdout.VERIFIER.grade(textwrap.dedent(program), gold), range(12)))
    assert scores == [1.0] * 12
    assert is_left_alone()


def test_no_file_outside_can_be_written_or_read(tmp_path: Path) -> None:
    private = tmp_path / "private.txt"
    private.write_text("mine")
    targets = [
        str(tmp_path / "x"),
        str(private),
        "/usr/x",
        "/etc/x",
        "/root/x",
        "/home/x",
        "/dev/shm/x",
        "/x",
        "/var/x",
    ]
    program = f"""
        import os
        def f(x):
            done = []
            for path in {targets!r}:
                for mode in ("w", "r"):
                    try:
                        with open(path, mode) as file: done.append((path, mode))
                    except OSError: pass
            return done
        """
    gold = json.dumps({"kind": "asserts", "tests": ["assert f(1) == []"]})
    assert paid(program, gold) == 1.0
    assert private.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["private.txt"]
    assert not Path("/dev/shm/x").exists()


def test_filling_the_disk_stops_at_the_private_folder() -> None:
    program = """
        import os
        def f(x):
            written = 0
            try:
                for n in range(1000):
                    with open(f"/tmp/{n}", "wb") as file: written += file.write(b"0" * 2**20 * 4)
            except OSError: pass
            return written <= 2**26
        """
    free = psutil.disk_usage("/tmp").free
    assert paid(program, json.dumps({"kind": "asserts", "tests": ["assert f(1) is True"]})) == 1.0
    assert free - psutil.disk_usage("/tmp").free < 2**30


def test_there_is_no_network_not_even_to_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        program = f"""
            import socket
            def f(x):
                done = []
                for address in (("127.0.0.1", {server.getsockname()[1]}), ("1.1.1.1", 53)):
                    try:
                        socket.create_connection(address, timeout=0.5)
                        done.append(address)
                    except OSError: pass
                return done
            """
        assert paid(program, json.dumps({"kind": "asserts", "tests": ["assert f(1) == []"]})) == 1.0
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_program_has_no_privilege_and_no_environment() -> None:
    program = """
        import ctypes, os
        def f(x):
            status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
            libc = ctypes.CDLL(None, use_errno=True)
            refused = [libc.unshare(0x10000000), libc.ptrace(16, 1, 0, 0), libc.mount(b"/", b"/", b"", 4096, None)]
            return [int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"].strip(), refused,
                    [name for name in os.environ if name not in ("PYTHONHASHSEED", "PWD", "LC_CTYPE")]]
        """
    gold = {"kind": "asserts", "tests": ["assert f(1) == [0, 0, '1', [-1, -1, -1], []]"]}
    assert paid(program, json.dumps(gold)) == 1.0


def test_a_module_of_the_programs_own_does_not_stand_in_for_the_librarys() -> None:
    program = """
        import os
        for name in ("json", "marshal", "select", "re", "resource", "thinkwright"):
            with open(name + ".py", "w") as file: file.write("raise SystemExit(0)")
        def f(x):
            import json, re
            return json.dumps(x)
        """
    assert paid(program) == 0.0
    assert paid(program, json.dumps({"kind": "asserts", "tests": ["assert f(1) == '1'"]})) == 1.0
    assert not any(Path(os.getcwd(), name).exists() for name in ("json.py", "select.py", "thinkwright.py"))


def test_a_copy_of_the_process_does_not_answer_in_its_place(is_left_alone: Callable[[], bool]) -> None:
    program = """
        import os
        def f(x):
            return x * x if os.fork() == 0 else -1
        """
    assert paid(program) == 0.0
    assert is_left_alone()


def test_a_copy_made_while_loading_leaves_the_answers_to_the_first() -> None:
    assert paid("import os\nos.fork()\ndef f(x): return x * x") == 1.0


def test_an_endless_load_costs_one_limit_however_many_tests_follow() -> None:
    gold = json.loads(NUMBERS_GOLD)
    gold["credit"], gold["tests"] = "share", [f"assert f({n}) == 1" for n in range(50)]
    before = time.monotonic()
    assert paid("while True: pass", json.dumps(gold)) == 0.0
    assert time.monotonic() - before < 15
