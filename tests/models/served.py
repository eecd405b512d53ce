"""A small real HTTP server that speaks the API of OpenAI's clients, for tests: a function makes the answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any] | str]]
"""From path and body to status and JSON body (or raw text)."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # clients open many connections at once


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve on a free port of this machine; gives the base address, ``/v1`` included."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, found = answer(self.path, body | {"_authorization": self.headers.get("Authorization")})
            payload = (found if isinstance(found, str) else json.dumps(found)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def chat_reply(text: str) -> tuple[int, dict[str, Any]]:
    """A whole answer of the chat API."""
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
