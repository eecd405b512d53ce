"""Runs untrusted programs where they can do no harm, and hands back what they returned or printed, never a verdict.

A program runs in bubblewrap: no network, a read-only system, a private /tmp of 64 MiB, no home, no other process in
sight, no privilege, and limits of processor time, memory, files, processes and output; ``sandbox_runner.py`` runs its
tests inside. For root, bubblewrap makes the sandbox as root and the program gets a user number of its own, so that the
limit on processes holds; for others it makes a user namespace. Killing bubblewrap kills whatever runs inside.

Where bubblewrap cannot run, nothing runs, unless ``rewards.program_isolation = "process"`` asks for plain child
processes with limits of time and memory (graders find it in THINKWRIGHT_ISOLATION). Those can read and write all that
their user can, and reach the network.
"""

import contextlib
import importlib.util
import marshal
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Literal, cast

import psutil

from thinkwright.errors import GraderError
from thinkwright.rewards.system_calls import refused_system_calls
from thinkwright.types import Isolation

ISOLATION_VARIABLE = "THINKWRIGHT_ISOLATION"
PROCESS_NOTE = (
    "programs a model writes run as plain child processes, with limits of time and memory but free to read and write "
    "the user's files, to use the network and to leave processes behind (rewards.program_isolation)"
)
"""What a report must say of the weaker isolation."""
START_SECONDS = 20.0
SLACK_SECONDS = 5.0
TOTAL_SECONDS = 45.0
"""The longest that all tests of one program may take together; below the verifiers' deadline."""
MEMORY_BYTES = 512 * 2**20
MAX_TEST_BYTES = 4 * 2**20
MAX_PROGRAM_CHARACTERS = 1 << 16
OFFERED_PACKAGES = ("sortedcontainers",)
"""Beside the standard library, what a program may import, where it is installed: LeetCode offers it, too."""
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # so that a program's sets have the same order each time
_TMP_BYTES = 64 * 2**20
_FIRST_USER, _NUM_USERS = 61184, 4096  # numbers that systems keep for short-lived users
_MAX_HEAD_BYTES = 64
_FRAME_HEAD = re.compile(rb"(?P<test>-?[0-9]{1,9}) (?P<status>[a-z_]{1,20}) (?P<size>[0-9]{1,9})\n")
_RUNNER = Path(__file__).resolve().with_name("sandbox_runner.py")
_LOAD_RUNNER = "import marshal, sys; exec(marshal.load(sys.stdin.buffer))"
_INSTALL = "install it (Debian, Ubuntu: apt-get install bubblewrap)"
_WEAKER = 'or set rewards.program_isolation = "process" to run programs unprotected'


@dataclass(frozen=True)
class ProgramTests:
    """A program and what to do with it: calls of its functions, or runs as a script on standard inputs."""

    program: str
    calls: Sequence[str] = ()
    """Expressions to evaluate after the program, one a test."""
    inputs: Sequence[str] = ()
    """Standard inputs, one a test."""
    before: str = ""
    """Trusted code that is run before the program: imports and helpers."""
    after: str = ""
    """Trusted code that is run after the program, before each call."""
    entry_point: str = ""
    """Expression for what the calls name ``candidate``."""
    seconds: float = 4.0
    """Processor time that a test may take, and that loading the program may. Wall time: twice as long and a second."""
    modules: Sequence[str] = field(default=())
    """Modules of the standard library to load once for all tests."""


@dataclass(frozen=True)
class SandboxOutcome:
    """How a test ended, and what the program wrote or the call returned: bytes a program chose, trusted in nothing."""

    status: Literal["done", "raised", "timeout", "died", "too_long", "lost"]
    body: bytes


def isolation() -> Isolation:
    """How programs are kept from the machine, as the environment says. Raises GraderError at an unknown word."""
    word = os.environ.get(ISOLATION_VARIABLE, "bubblewrap")
    if word not in ("bubblewrap", "process"):
        raise GraderError(f"{ISOLATION_VARIABLE} is {word!r}; write bubblewrap or process")
    return word


def sandbox_problem() -> str | None:
    """Why programs cannot be run here and what to do about it, or None if they can. Tried once a process."""
    return _bubblewrap_problem() if isolation() == "bubblewrap" else None


@cache
def _bubblewrap_problem() -> str | None:
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        return f"programs are run in bubblewrap, but there is no bwrap on this machine: {_INSTALL}, {_WEAKER}"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return f"as root the sandbox needs setpriv (Debian, Ubuntu: apt-get install util-linux), {_WEAKER}"
    tests = ProgramTests("import os\ndef f():\n    return os.waitpid(os.fork() or os._exit(0), 0)[1]", calls=["f()"])
    try:
        with contextlib.closing(_run(tests)) as outcomes:
            found = next(outcomes)
    except GraderError as error:
        return (
            f"bubblewrap is here but cannot make a sandbox ({error}): it needs user namespaces (sysctl "
            f"kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) or, in a container, "
            f"its --cap-add SYS_ADMIN --security-opt seccomp=unconfined; allow them, {_WEAKER}"
        )
    if found != SandboxOutcome("done", b"0"):
        return f"a trivial program fails in the sandbox ({found.status}): Linux 5.14 or newer is needed, {_WEAKER}"
    return None


def run_program(tests: ProgramTests) -> Generator[SandboxOutcome]:
    """The outcome of each test, in order, as they come. Closing the generator early kills the sandbox.

    Raises GraderError if there is no sandbox, or if it breaks before the program has begun.
    """
    if (problem := sandbox_problem()) is not None:
        raise GraderError(problem)
    return _run(tests)


def _run(tests: ProgramTests) -> Generator[SandboxOutcome]:
    num_tests = len(tests.calls) + len(tests.inputs)
    try:
        request = _request(tests)
    except UnicodeEncodeError:
        # A lone surrogate: no file could hold such a program.
        yield from [SandboxOutcome("raised", b"")] * num_tests
        return
    process, folder = _start(request)
    try:
        frames = _Frames(cast("IO[bytes]", process.stdout))
        if (first := frames.read(START_SECONDS)) is None or first[:2] != (-1, "ready"):
            raise GraderError(f"no sandbox for a program: {_last_words(process, first)}")
        deadline, is_lost = time.monotonic() + TOTAL_SECONDS, False
        # The runner ends a test by itself; a program that stops the runner waits for this.
        test_seconds = 2 * (2 * tests.seconds + 1) + SLACK_SECONDS  # to load the program, and to call it
        for index in range(num_tests):
            frame = None if is_lost else frames.read(min(test_seconds, deadline - time.monotonic()))
            # What the program may have sent in the runner's place counts only if it is exactly the next frame.
            is_lost = frame is None or frame[0] != index or frame[1] not in _STATUSES
            yield (
                SandboxOutcome("lost", b"")
                if frame is None or is_lost
                else SandboxOutcome(_STATUSES[frame[1]], frame[2])
            )
    finally:
        _end(process)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


_STATUSES: dict[str, Literal["done", "raised", "timeout", "died", "too_long"]] = {
    "done": "done", "raised": "raised", "timeout": "timeout", "died": "died", "too_long": "too_long",
}  # fmt: skip


def _request(tests: ProgramTests) -> bytes:
    tests.program.encode()
    return marshal.dumps(
        {
            "program": tests.program,
            "calls": list(tests.calls),
            "inputs": list(tests.inputs),
            "before": tests.before,
            "after": tests.after,
            "entry_point": tests.entry_point,
            "modules": list(tests.modules),
            "paths": ["/packages"] if isolation() == "bubblewrap" else [str(p.parent) for p in _packages().values()],
            "seconds": tests.seconds,
            "memory_bytes": MEMORY_BYTES,
            "max_bytes": MAX_TEST_BYTES,
        }
    )


class _Frames:
    """Reads the runner's frames, never more than one test may send, never past a deadline."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._descriptor = stream.fileno()
        self._received = bytearray()

    def read(self, seconds: float) -> tuple[int, str, bytes] | None:
        """The next (test, status, body); None if none comes in time or what comes is no frame."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received[:_MAX_HEAD_BYTES]:
            if len(self._received) >= _MAX_HEAD_BYTES or not self._receive(deadline):
                return None
        end_of_head = self._received.index(b"\n") + 1
        head = _FRAME_HEAD.fullmatch(self._received[:end_of_head])
        if head is None or (size := int(head["size"])) > MAX_TEST_BYTES:
            return None
        while len(self._received) < end_of_head + size:
            if not self._receive(deadline):
                return None
        body = bytes(self._received[end_of_head : end_of_head + size])
        del self._received[: end_of_head + size]
        return int(head["test"]), head["status"].decode(), body

    def _receive(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(self._descriptor, 1 << 20) if readable else b""
        self._received += piece
        return bool(piece)


def _start(request: bytes) -> tuple[subprocess.Popen[bytes], str | None]:
    """Start the runner on the request; also the folder to delete after it, where it needs one."""
    is_confined = isolation() == "bubblewrap"
    folder = None if is_confined else tempfile.mkdtemp(prefix="thinkwright-program-")
    system_calls = _system_calls_pipe() if is_confined else None
    runner = [_python(), "-P", "-s", "-S", "-B", "-c", _LOAD_RUNNER, isolation()]
    command = [*_bubblewrap(system_calls), *runner] if is_confined else runner
    try:
        with tempfile.TemporaryFile() as file:
            file.write(_runner_code() + request)
            file.seek(0)
            process = subprocess.Popen(
                command,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                cwd=folder or "/",
                start_new_session=True,
                pass_fds=() if system_calls is None else (system_calls,),
            )
    except OSError as error:
        raise GraderError(f"could not start {command[0]}: {error}") from error
    finally:
        if system_calls is not None:
            os.close(system_calls)
    return process, folder


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left: bubblewrap takes its sandbox along, a plain process must have its descendants named."""
    descendants: list[psutil.Process] = []
    if isolation() == "process":
        with contextlib.suppress(psutil.Error):
            descendants = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for descendant in descendants:
        with contextlib.suppress(psutil.Error):
            descendant.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        cast("IO[bytes]", stream).close()


def _last_words(process: subprocess.Popen[bytes], frame: tuple[int, str, bytes] | None) -> str:
    if frame is not None:
        return f"the code that comes with the question fails: {frame[2].decode(errors='replace')[:500]}"
    with contextlib.suppress(subprocess.TimeoutExpired):  # what has ended may have a moment to say so
        process.wait(timeout=0.5)
    code = process.poll()
    process.kill()
    text = cast("IO[bytes]", process.stderr).read(4096).decode(errors="replace").strip()
    return text[-500:] or (f"nothing came within {START_SECONDS:.0f} s" if code is None else f"it ended with {code}")


@cache
def _packages() -> dict[str, Path]:
    """The folders of the offered packages that are installed."""
    specs = {name: importlib.util.find_spec(name) for name in OFFERED_PACKAGES}
    return {name: Path(spec.origin).parent for name, spec in specs.items() if spec is not None and spec.origin}


@cache
def _python() -> str:
    return os.path.realpath(sys.executable)


@cache
def _runner_code() -> bytes:
    """Compiled here, by the same Python, once instead of in every sandbox."""
    return marshal.dumps(compile(_RUNNER.read_text(encoding="utf-8"), _RUNNER.name, "exec"))


def _system_calls_pipe() -> int | None:
    """The read end of a pipe that holds the filter of system calls, for bubblewrap to read."""
    steps = refused_system_calls()
    if steps is None:
        return None
    read_end, write_end = os.pipe()
    os.write(write_end, steps)
    os.close(write_end)
    return read_end


def _bubblewrap(system_calls: int | None) -> list[str]:
    """The command that makes a sandbox, to be followed by the one to run in it."""
    filtered = [] if system_calls is None else ["--seccomp", str(system_calls)]
    if os.geteuid() != 0:
        return [*_sandbox_options(), "--unshare-user", "--cap-drop", "ALL", *filtered, "--"]
    # A number no other process has at this time, so that the limit on processes counts this sandbox alone.
    user = str(_FIRST_USER + threading.get_native_id() % _NUM_USERS)
    become = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all"]
    capabilities = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*_sandbox_options(), *capabilities, *filtered, "--", shutil.which("setpriv") or "", *become[1:]]


@cache
def _sandbox_options() -> tuple[str, ...]:
    """What every sandbox is made of. The order counts: a later mount lies over an earlier one."""
    options = [shutil.which("bwrap") or "bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--hostname", "sandbox"]
    for folder in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if Path(folder).is_symlink():
            options += ["--symlink", os.readlink(folder), folder]
        elif Path(folder).is_dir():
            options += ["--ro-bind", folder, folder]
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        for parent in reversed(prefix.parents[:-1]):  # else a folder closed to others is closed inside, too
            options += ["--perms", "0755", "--dir", str(parent)]
        options += ["--ro-bind", str(prefix), str(prefix)]
    options += ["--perms", "0755", "--dir", "/packages"]
    for name, folder in _packages().items():
        options += ["--ro-bind", str(folder), f"/packages/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    options += ["--perms", "1777", "--size", str(_TMP_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]
    return tuple(options)
