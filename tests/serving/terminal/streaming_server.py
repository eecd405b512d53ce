"""A small real HTTP server that streams what a test tells it to, in the form of any server that there is."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Row = dict[str, Any]
Event = Row | str | Callable[[], Any]
"""A chunk, a line as it is, or something to be done (to wait) before the next."""


class Script:
    """What the server does, and what it was asked."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.status, self.content_type = 200, "text/event-stream"
        self.refusal = ""
        """The body of a status other than 200, or of a reply that is no stream."""
        self.models: Any = {"data": [{"id": "one"}]}
        self.bodies: list[Row] = []
        self.keys: list[str | None] = []
        self.left = threading.Event()
        """The client went away in the middle."""
        self.url = ""


def delta(**fields: Any) -> Row:
    """A chunk with one delta."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def ending(reason: str = "stop", **usage: Any) -> list[Event]:
    """How a stream ends."""
    last: Row = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return [last, *([{"choices": [], "usage": usage}] if usage else []), "data: [DONE]"]


def told(*deltas: Row, reason: str = "stop", **usage: Any) -> list[Event]:
    """A whole stream of deltas."""
    return [*[delta(**one) for one in deltas], *ending(reason, **usage)]


@contextmanager
def streaming() -> Iterator[Script]:
    """Serve on a free port of this machine, by a script that may be changed at any time."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._whole(200 if self.path == "/v1/models" else 404, "application/json", json.dumps(script.models))

        def do_POST(self) -> None:
            script.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            script.keys.append(self.headers.get("Authorization"))
            if script.status != 200 or script.refusal:
                self._whole(script.status, script.content_type, script.refusal)
                return
            self.send_response(200)
            self.send_header("Content-Type", script.content_type)
            self.end_headers()
            try:
                for event in script.events:
                    if callable(event):
                        event()
                        continue
                    line = event if isinstance(event, str) else f"data: {json.dumps(event)}"
                    self.wfile.write(f"{line}\n\n".encode())
            except OSError:
                script.left.set()

        def _whole(self, status: int, kind: str, text: str) -> None:
            payload = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
