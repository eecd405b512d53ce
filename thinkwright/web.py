"""What our two servers share (``watch`` and ``serve``): listening at an address, and telling strangers from friends."""

import asyncio
import contextlib
import errno
import ipaddress
import socket

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from thinkwright.errors import ThinkwrightError

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

HEAD_SECONDS = 30.0
"""The head of a request must be whole by then, from its connection's begin or its own first byte on; so must the rest
of a body that was refused before it was read."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises ThinkwrightError, with the remedy, if it cannot."""
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
        listener.listen(1024)
    except OSError as error:
        listener.close()
        remedy = (
            "give another with --port, or --port 0 for a free one"
            if error.errno == errno.EADDRINUSE
            else ("give an address of this machine with --host, and a port from 1024 on")
        )
        raise ThinkwrightError(f"{host}:{port}: cannot be listened at ({error.strerror}); {remedy}") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """``http://...`` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach a listening socket."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def is_own_name(host: str) -> bool:
    """Whether a Host header names this machine alone: ``localhost`` or a loopback address, any port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def make_server(app: ASGIApp, grace_seconds: int) -> uvicorn.Server:
    """A server that says nothing of itself; at its end, open requests have ``grace_seconds``."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=grace_seconds,
        )
    )


class _Protocol(H11Protocol):
    """uvicorn's, which by itself waits without end for the rest of a request's head, or of a body that nobody reads."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_head()

    def send_400_response(self, msg: str) -> None:
        """Where a reply has begun, or is over and nobody waits for another, there is no place for it.

        A request whose body turned out to be none is told that its client has gone, so that it sends no second reply.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _watch_head(self) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.DONE):  # a request is being answered
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def run_server(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has ended
        server.run(sockets=[listener])
