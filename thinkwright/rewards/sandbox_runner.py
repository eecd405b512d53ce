"""Runs the tests of one untrusted program, in processes of their own. Started inside a sandbox by ``sandbox.py``.

A script of the standard library, which the package never imports; it loads few modules because it is started once a
program.

Standard input is its code and one dict, both marshalled (``sandbox.py``, ``_request``). Standard output is a frame
``id status length`` and a body for each test in order, after a first frame that says that the tests begin. The right
answers are not known here: whatever a program does to this process, it can send other values, but no verdict.
"""

import builtins
import marshal
import os
import resource
import select
import sys
import time
from _json import encode_basestring_ascii

TYPE_CHECKING = False  # importing it from ``typing`` would take as long as the interpreter's own start
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (values here are of any type)

SIGKILL = 9  # importing ``signal`` would cost a tenth of the start
MAX_DEPTH = 100
MAX_INT_BITS = 1 << 16
MAX_NODES = 100_000
MAX_PROCESSES = 8
MESSAGE_HEAD_BYTES = 9
MAX_OPEN_FILES = 32
MAX_FILE_BYTES = 8 * 2**20
LOOK_SECONDS = 0.02


def main() -> None:
    """Answer the one request on standard input."""
    is_alone = sys.argv[1] == "bubblewrap"
    request = marshal.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    answers = os.dup(1)
    os.dup2(null, 1)
    sys.path += request["paths"]
    builtins.exit = builtins.quit = sys.exit  # what ``site`` adds
    namespace: dict[str, Any] = {}
    try:
        for name in request["modules"]:
            __import__(name)
        exec(request["before"], namespace)
    except Exception as error:  # told to the other side, which trusts this text and knows what to do
        write_frame(answers, -1, "unusable", f"{type(error).__name__}: {error}".encode(errors="replace"))
        return
    inputs = [_unnamed_file(text) for text in request["inputs"]]
    write_frame(answers, -1, "ready", b"")
    for index, input_file in enumerate(inputs):
        write_frame(answers, index, *run_script(request, input_file, is_alone))
    if request["calls"]:
        run_calls(request, namespace, answers, is_alone)


def write_frame(descriptor: int, index: int, status: str, body: bytes) -> None:
    """Send one frame."""
    _write_all(descriptor, b"%d %s %d\n" % (index, status.encode(), len(body)) + body)


def run_calls(request: "dict[str, Any]", namespace: "dict[str, Any]", answers: int, is_alone: bool) -> None:
    """Send a frame for each call: of one process as long as it lives, then of a new one from the next call on."""
    index, num_calls, wall_seconds = 0, len(request["calls"]), 2 * request["seconds"] + 1
    while index < num_calls:
        read_end, write_end = os.pipe()
        process_id = os.fork()
        if process_id == 0:
            _be_the_caller(request, namespace, index, write_end, is_alone)
        os.close(write_end)
        loaded, _ = _read_message(read_end, wall_seconds, request["max_bytes"])
        status = loaded
        while status in ("done", "raised", "loaded") and loaded == "loaded" and index < num_calls:
            status, body = _read_message(read_end, wall_seconds, request["max_bytes"])
            write_frame(answers, index, status, body)
            index += 1
        os.close(read_end)
        _end_processes(process_id, is_alone)
        os.waitpid(process_id, 0)
        if is_alone:
            _wait_until_alone()
        if loaded != "loaded":  # a program that fails by itself would fail again
            for remaining in range(index, num_calls):
                write_frame(answers, remaining, "raised" if loaded == "done" else loaded, b"")
            return


def _read_message(read_end: int, wall_seconds: float, max_bytes: int) -> tuple[str, bytes]:
    """The next message of a process that calls, or what became of it instead: "timeout", "died" or "too_long"."""
    deadline = time.monotonic() + wall_seconds
    head, ending = _read_exactly(read_end, MESSAGE_HEAD_BYTES, deadline)
    if ending:
        return ending, b""
    status = {b"d": "done", b"r": "raised", b"l": "loaded"}.get(head[:1], "died")
    if not head[1:].isdigit() or status == "died":
        return "died", b""
    if int(head[1:]) > max_bytes:
        return "too_long", b""
    body, ending = _read_exactly(read_end, int(head[1:]), deadline)
    return (ending, b"") if ending else (status, body)


def _read_exactly(read_end: int, num_bytes: int, deadline: float) -> tuple[bytes, str]:
    received = bytearray()
    while len(received) < num_bytes:
        left = deadline - time.monotonic()
        if left < 0 or not select.select([read_end], [], [], left)[0]:
            return b"", "timeout"
        piece = os.read(read_end, min(num_bytes - len(received), 1 << 20))
        if not piece:
            return b"", "died"
        received += piece
    return bytes(received), ""


def run_script(request: "dict[str, Any]", input_file: int, is_alone: bool) -> tuple[str, bytes]:
    """How a run of the program as a script ended, and what it printed."""
    read_end, write_end = os.pipe()
    process_id = os.fork()
    if process_id == 0:
        _be_the_script(request, input_file, write_end, is_alone)
    os.close(write_end)
    body, exit_status = _receive(read_end, process_id, 2 * request["seconds"] + 1, request["max_bytes"])
    os.close(read_end)
    _end_processes(process_id, is_alone)
    if exit_status is None:
        os.waitpid(process_id, 0)
    if is_alone:
        _wait_until_alone()
    if len(body) > request["max_bytes"]:
        return "too_long", b""
    if exit_status is None:
        return "timeout", b""
    if os.WIFSIGNALED(exit_status):
        return "died", b""
    return ("done" if os.WEXITSTATUS(exit_status) == 0 else "raised"), body


def _receive(read_end: int, process_id: int, wall_seconds: float, max_bytes: int) -> tuple[bytes, int | None]:
    """What came through the pipe until the process ended, and how it ended: None if it is still to be killed.

    The pipe's end is no sign, since a descendant may hold it open or the program may close it.
    """
    pieces: list[bytes] = []
    num_bytes, deadline, is_open, exit_status = 0, time.monotonic() + wall_seconds, True, None
    while True:
        left = deadline - time.monotonic()
        if is_open:
            readable, _, _ = select.select([read_end], [], [], 0 if exit_status is not None else LOOK_SECONDS)
            piece = os.read(read_end, 1 << 16) if readable else b""
            pieces.append(piece)
            num_bytes += len(piece)
            is_open = bool(piece) or not readable
            if num_bytes > max_bytes or (exit_status is not None and not piece):
                break
            if piece:
                if left < 0:
                    break
                continue
        elif exit_status is None:
            time.sleep(0.0005)
        if exit_status is not None:
            break
        ended, status = os.waitpid(process_id, os.WNOHANG)
        if ended:
            exit_status = status
        elif left < 0:
            break
    return b"".join(pieces), exit_status


def _end_processes(process_id: int, is_alone: bool) -> None:
    """Kill a process and all it started: inside a sandbox everything but this one."""
    if is_alone:
        if os.getpid() != 2:  # process 1 of the sandbox is bubblewrap's own
            raise RuntimeError("this is no sandbox")
        targets = [(os.kill, -1)]
    else:
        targets = [(os.killpg, process_id), (os.kill, process_id)]
    for kill, target in targets:
        try:
            kill(target, SIGKILL)
        except OSError:
            continue  # nothing was left


def _wait_until_alone() -> None:
    """What was killed is there until process 1 has reaped it, and the next run must find nothing of this one."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            os.kill(-1, SIGKILL)
        except OSError:
            return  # nothing is left
        time.sleep(0.0005)


def _be_the_caller(
    request: "dict[str, Any]", namespace: "dict[str, Any]", first: int, write_end: int, is_alone: bool
) -> None:
    """The life of a process that runs the program and calls it, from the fork to the exit; never returns."""
    try:
        process_id = os.getpid()
        _confine(request, is_alone)
        os.closerange(3, write_end)
        os.closerange(write_end + 1, 1024)
        scope = _load(request, namespace)
        if os.getpid() != process_id:
            return  # a copy of this process that the program made; "finally" ends it
        _send(write_end, b"l", b"")
        for call in request["calls"][first:]:
            _allow_seconds(request["seconds"])
            try:
                message = b"d", encode(eval(call, scope)).encode("ascii")
            except BaseException:  # whatever a program raises, the exit of a script too, is not an answer
                message = b"r", b""
            if os.getpid() != process_id:
                break  # a copy of this process that the program made
            _send(write_end, *message)
    finally:
        os._exit(1)


def _be_the_script(request: "dict[str, Any]", input_file: int, write_end: int, is_alone: bool) -> None:
    """The life of a process that runs the program as a script, from the fork to the exit; never returns."""
    exit_code = 1
    try:
        _confine(request, is_alone)
        exit_code = _run_script(request["program"], input_file, write_end)
    finally:
        os._exit(exit_code)


def _load(request: "dict[str, Any]", namespace: "dict[str, Any]") -> "dict[str, Any]":
    """The names that the program defines, with those that come before and after it."""
    module = type(sys)("solution")
    sys.modules["solution"] = module
    scope = module.__dict__
    scope.update((name, value) for name, value in namespace.items() if name != "__name__")
    exec(compile(request["program"], "<program>", "exec", dont_inherit=True), scope)
    exec(request["after"], scope)
    if request["entry_point"]:
        scope["candidate"] = eval("lambda *a, **k: " + request["entry_point"] + "(*a, **k)", scope)
    return scope


def _send(write_end: int, status: bytes, body: bytes) -> None:
    _write_all(write_end, status + b"%0*d" % (MESSAGE_HEAD_BYTES - 1, len(body)) + body)


def _run_script(program: str, input_file: int, write_end: int) -> int:
    """Run the program as a script and return its exit code."""
    os.dup2(input_file, 0)
    os.lseek(0, 0, os.SEEK_SET)
    os.dup2(write_end, 1)
    os.closerange(3, 1024)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.argv = ["program"]
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    exit_code = 0
    try:
        exec(compile(program, "<program>", "exec", dont_inherit=True), module.__dict__)
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # waits for the program's threads, as the end of a script does
    except SystemExit as leaving:
        exit_code = 0 if leaving.code is None or leaving.code == 0 else 1
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()
    sys.stdout.flush()
    return exit_code


def _confine(request: "dict[str, Any]", is_alone: bool) -> None:
    """Limits for this process and what it starts. Later ones can only be tighter, but for its processor time."""
    os.setsid()
    os.dup2(1, 2)
    limits = {
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    if is_alone:  # elsewhere this would count the user's other processes
        limits[resource.RLIMIT_NPROC] = MAX_PROCESSES
    if sys.platform != "darwin":  # macOS may refuse this limit
        limits[resource.RLIMIT_AS] = request["memory_bytes"]
    for limit, value in limits.items():
        highest = resource.getrlimit(limit)[1]  # what starts this may be limited itself
        value = value if highest == resource.RLIM_INFINITY else min(value, highest)
        resource.setrlimit(limit, (value, value))
    _allow_seconds(request["seconds"])


def _allow_seconds(seconds: float) -> None:
    """Let the system end this process after so much more processor time, in whole seconds, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end, highest = int(used.ru_utime + used.ru_stime + seconds) + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (end if highest == resource.RLIM_INFINITY else min(end, highest), highest))


def _unnamed_file(text: str) -> int:
    """A descriptor of a file with this text that has no name."""
    descriptor = os.open("input", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.unlink("input")
    _write_all(descriptor, text.encode(errors="surrogateescape"))
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def encode(value: "Any", depth: int = 0) -> str:
    """The value as JSON: null, booleans, numbers, text and lists as such, others as ``{"type": [parts]}``.

    Types are the real ones, and values are read by the methods of the built-in type, so what a subclass overrides is
    not heard. Raises TypeError or ValueError at anything else: it has no counterpart outside.
    """
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    kind: type[Any] = type(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if issubclass(kind, int):
        return _encode_int(int.__pos__(value))
    if issubclass(kind, float):
        text = float.__repr__(value)
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text, text)
    if issubclass(kind, str):
        return encode_basestring_ascii(str.__str__(value))
    if issubclass(kind, list):
        return _encode_parts(list.__iter__(value), depth)
    for name, builtin, parts in CONTAINERS:
        if issubclass(kind, builtin):
            return f'{{"{name}": {_encode_parts(parts(value), depth)}}}'
    return _encode_other(value, depth)


def _encode_int(number: int) -> str:
    if number.bit_length() > MAX_INT_BITS:
        raise ValueError("an integer of too many digits")
    return repr(number) if number.bit_length() < 1000 else f'{{"int": ["{number:x}"]}}'


def _encode_parts(parts: "Any", depth: int) -> str:
    return "[" + ", ".join([encode(part, depth + 1) for part in parts]) + "]"


def _encode_other(value: "Any", depth: int) -> str:
    """Queues, and the linked lists and binary trees of LeetCode: by their values, from the head or in preorder."""
    queue: type[deque[object]] | None = sys.modules["collections"].deque if "collections" in sys.modules else None
    if queue is not None and issubclass(type(value), queue):
        return f'{{"deque": {_encode_parts(queue.__iter__(value), depth)}}}'
    attributes = object.__getattribute__(value, "__dict__")
    values: list[object] = []
    if "val" in attributes and "next" in attributes:
        while value is not None:
            values.append(_checked(values, value.val))
            value = value.next
        return f'{{"linked_list": {_encode_parts(values, depth)}}}'
    if "val" in attributes and "left" in attributes and "right" in attributes:
        waiting = [value]
        while waiting:
            node = waiting.pop()
            values.append(_checked(values, None if node is None else (node.val,)))
            if node is not None:
                waiting += [node.right, node.left]
        return f'{{"tree": {_encode_parts(values, depth)}}}'
    raise TypeError(f"a {type(value).__name__} is not plain data")


def _checked(values: "list[object]", following: object) -> object:
    if len(values) >= MAX_NODES:
        raise ValueError("too many nodes, or a circle of them")
    return following


def _dict_parts(value: "dict[object, object]") -> "list[object]":
    return [part for pair in dict.items(value) for part in pair]


CONTAINERS: "list[tuple[str, type, Callable[[Any], Any]]]" = [
    ("tuple", tuple, tuple.__iter__),
    ("dict", dict, _dict_parts),
    ("set", set, set.__iter__),
    ("frozenset", frozenset, frozenset.__iter__),
    ("bytes", bytes, bytes.__iter__),
    ("bytearray", bytearray, bytearray.__iter__),
    ("complex", complex, lambda value: (complex.__pos__(value).real, complex.__pos__(value).imag)),
]


if __name__ == "__main__":
    main()
