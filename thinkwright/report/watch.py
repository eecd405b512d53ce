"""``thinkwright watch``: the page of a run or pipeline, served while it goes on."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import uvicorn

from thinkwright.report.watch_app import make_app
from thinkwright.web import address_of, is_loopback, listen, make_server, run_server

_GRACE_SECONDS = 3


def watch(folder: Path, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the page of ``folder``, which need not exist yet, until SIGINT or SIGTERM. Port 0 takes a free one.

    ``say`` gets the address. Raises ThinkwrightError if it cannot be listened at.
    """
    with contextlib.closing(listen(host, port)) as listener:
        server: uvicorn.Server
        app = make_app(folder, is_loopback=is_loopback(listener), is_closing=lambda: server.should_exit)
        server = make_server(app, _GRACE_SECONDS)
        waits = "" if folder.exists() else ", which is not there yet: the page waits for it"
        say(f"watching {folder}{waits}\n{address_of(listener)}/ (Ctrl-C ends it)")
        run_server(server, listener)
