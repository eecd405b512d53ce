"""Runs one-line programs, each in a process of its own that is killed when it takes too long.

A script, started by ``program_runner.py`` as ``python -I -S program_worker.py``; standard library only, never imported.
Standard input is one JSON object ``{"calls": [name], "wall_seconds": s, "programs": [[source, [argument]], ...]}``.
Standard output is one JSON list with what each program left: a line holding the JSON list of its values, or anything
shorter if it failed. What the right values are is not known here, so a program cannot look them up.

A program's process has its own session and limits of CPU time, memory and output, may open no file and no socket, and
sees neither the worker's input nor its output. Not covered until programs run in a sandbox: a program that reaches
the operating system as root can raise its own limits again, and then read, write and connect as the worker could.
"""

import builtins
import contextlib
import json
import os
import resource
import select
import signal
import sys
import time

CPU_SECONDS = 1
MEMORY_BYTES = 256 * 2**20
MAX_OUTPUT_BYTES = 4096
START_SECONDS = 30.0
READY = b"ready"


def main() -> None:
    """Answer the one request on standard input."""
    request = json.load(sys.stdin)
    calls = {name: getattr(builtins, name) for name in request["calls"]}
    lines = [run(source, arguments, calls, request["wall_seconds"]) for source, arguments in request["programs"]]
    json.dump(lines, sys.stdout)


def run(source: str, arguments: list[float], calls: dict[str, object], wall_seconds: float) -> str:
    """What the program wrote, or "" if it wrote too much. Raises RuntimeError if its process could not be confined."""
    read_end, write_end = os.pipe()
    process_id = os.fork()
    if process_id == 0:
        _be_the_program(source, arguments, calls, wall_seconds, write_end)
    os.close(write_end)
    try:
        received = _receive(read_end, wall_seconds)
    finally:
        os.close(read_end)
        with contextlib.suppress(OSError):
            os.killpg(process_id, signal.SIGKILL)
        os.kill(process_id, signal.SIGKILL)
        os.waitpid(process_id, 0)
    notice, _, output = received.partition(b"\n")
    if notice != READY:
        raise RuntimeError(f"a program's process could not be confined: {notice.decode(errors='replace') or 'no word'}")
    return output.decode("ascii", errors="replace") if len(output) <= MAX_OUTPUT_BYTES else ""


def _receive(read_end: int, wall_seconds: float) -> bytes:
    """All that comes through the pipe, until it is closed, too much, or ``wall_seconds`` after the program began."""
    received, deadline = b"", time.monotonic() + START_SECONDS
    while len(received) <= len(READY) + 1 + MAX_OUTPUT_BYTES:
        readable, _, _ = select.select([read_end], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(read_end, MAX_OUTPUT_BYTES) if readable else b""
        if not piece:
            break
        if not received:
            deadline = time.monotonic() + wall_seconds
        received += piece
    return received


def _be_the_program(
    source: str, arguments: list[float], calls: dict[str, object], wall_seconds: float, write_end: int
) -> None:
    """The life of a program's process, from fork to exit; never returns."""
    try:
        try:
            _confine(write_end, wall_seconds)
        except (OSError, ValueError) as error:
            os.write(write_end, f"{error}\n".encode())
            return
        os.write(write_end, READY + b"\n")
        function = eval(compile(source, "<program>", "eval"), {"__builtins__": calls})
        values = [function(argument) for argument in arguments]
        os.write(write_end, json.dumps(values).encode() + b"\n")
    finally:
        os._exit(0)


def _confine(write_end: int, wall_seconds: float) -> None:
    """Leave this process with the pipe, little time, little memory, and no way to open anything."""
    os.setsid()
    # Kills the program also when the worker, which watches the same time, is gone.
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    null = os.open(os.devnull, os.O_RDWR)
    for inherited in (0, 1, 2):
        os.dup2(null, inherited)
    os.closerange(3, write_end)
    os.closerange(write_end + 1, 1024)
    limits = {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,  # without effect for root
        resource.RLIMIT_NOFILE: 0,  # what is open stays open; nothing new can be
    }
    if sys.platform != "darwin":  # macOS may refuse this limit
        limits[resource.RLIMIT_AS] = MEMORY_BYTES
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
