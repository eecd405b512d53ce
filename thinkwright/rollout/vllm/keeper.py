"""Runs a server for as long as whoever started it lives: ``python keeper.py COMMAND...``.

Its standard input is a pipe from there, which ends with that process, however it dies. Then the server and all that it
has started, one session, are killed. It ends with the server's status when that ends by itself.
"""

import os
import signal
import subprocess
import sys
import threading
import time

_GRACE_SECONDS = 10.0


def main(command: list[str]) -> int:
    """Start the command in this session, and wait for its end."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_follow, args=(server,), daemon=True).start()
    return server.wait()


def _follow(server: "subprocess.Popen[bytes]") -> None:
    """End the server when the pipe ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    server.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
