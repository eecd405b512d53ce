"""``thinkwright watch``: the page of a run or pipeline, served while it goes on."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from thinkwright.errors import ThinkwrightError
from thinkwright.report.watch_app import make_app

_GRACE_SECONDS = 3


def watch(folder: Path, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the page of ``folder``, which need not exist yet, until SIGINT or SIGTERM. Port 0 takes a free one.

    ``say`` gets the address. Raises ThinkwrightError if it cannot be listened at.
    """
    listener = _listen(host, port)
    with contextlib.closing(listener):
        address = listener.getsockname()
        is_loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
        server: uvicorn.Server
        app = make_app(folder, is_loopback=is_loopback, is_closing=lambda: server.should_exit)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        waits = "" if folder.exists() else ", which is not there yet: the page waits for it"
        say(f"watching {folder}{waits}\nhttp://{name}:{address[1]}/ (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has ended
            server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ThinkwrightError(
            f"--host {host}: is no address of this machine ({error}); leave it out for 127.0.0.1"
        ) from error
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        remedy = (
            "give another with --port, or --port 0 for a free one"
            if error.errno == errno.EADDRINUSE
            else ("give an address of this machine with --host, and a port from 1024 on")
        )
        raise ThinkwrightError(f"{host}:{port}: cannot be listened at ({error.strerror}); {remedy}") from error
    return listener
