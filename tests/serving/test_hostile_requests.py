"""Whatever is sent: never a status of 500 or more, never a wait without end, and no memory that is not given back."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any

import httpx2
import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from tests.serving.hostile import HOST, hostile_request, request
from tests.serving.server_process import MODEL, ServerProcess, server_process
from thinkwright import web
from thinkwright.config.recipe import Machine
from thinkwright.config.serving import ServeSettings, ServingEngine
from thinkwright.serving import guard
from thinkwright.serving.serve import serving

DEADLINE_SECONDS = 30.0
NUM_REQUESTS = 2_000
SHORT_SECONDS = 1.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(tmp_path_factory.mktemp("server"), "--slots", "8") as found:
        yield found


def exchange(address: str, sent: bytes) -> list[int]:
    """The statuses that come back until the server closes. Raises TimeoutError if it does not."""
    host, port = address.removeprefix("http://").split(":")
    deadline, received = time.monotonic() + DEADLINE_SECONDS, bytearray()
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection:
        try:
            connection.sendall(sent)
            while piece := connection.recv(2**16):
                received += piece
                connection.settimeout(max(0.1, deadline - time.monotonic()))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was read
    return [int(found) for found in _STATUS.findall(received)]


def test_no_hostile_request_breaks_it_or_holds_it_up(server: ServerProcess) -> None:
    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]

    def ask(number: int) -> str | None:
        family, sent = hostile_request(number, seed=0)
        try:
            statuses = exchange(server.address, sent)
        except TimeoutError:
            return f"{family} {number}: no end within {DEADLINE_SECONDS:g} s: {sent[:300]!r}"
        wrong = [status for status in statuses if status >= 500]
        return f"{family} {number}: {wrong}: {sent[:300]!r}" if wrong else None

    def memory() -> int:
        return sum(process.memory_info().rss for process in processes)

    faults: list[str] = []
    with ThreadPoolExecutor(8) as threads:
        faults += [fault for fault in threads.map(ask, range(NUM_REQUESTS // 2)) if fault]
        before = memory()
        faults += [fault for fault in threads.map(ask, range(NUM_REQUESTS // 2, NUM_REQUESTS)) if fault]
    assert not faults, "\n".join(faults[:20])
    assert memory() < 1.05 * before
    assert "Traceback" not in server.log_text()
    loads = httpx2.get(f"{server.address}/health").json()["models"]
    assert loads[MODEL] == {**loads[MODEL], "num_running": 0, "num_waiting": 0, "is_up": True}


def test_answers_to_pipelined_requests_come_in_their_order(server: ServerProcess) -> None:
    paths = (b"/health", b"/nowhere", b"/v1/models", b"/v1/models/x")
    sent = b"".join(request(b"GET", path, b"", b"Connection: keep-alive") for path in paths)
    assert exchange(server.address, sent + request(b"GET", b"/health")) == [200, 404, 200, 404, 200]


def test_garbage_after_a_reply_ends_the_connection_and_nothing_else(server: ServerProcess) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    lines = (b"Transfer-Encoding: chunked", b"Connection: keep-alive")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(request(b"POST", b"/nowhere", b"1\r\na\r\n", *lines))
        assert connection.recv(2**16).startswith(b"HTTP/1.1 404")
        connection.sendall(b"no length\r\n")
        while connection.recv(2**16):
            pass
    assert "Traceback" not in server.log_text()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that waits only for moments."""
    votes = tmp_path_factory.mktemp("serving") / "votes.sqlite"
    told = ServeSettings(
        (MODEL,), port=0, template="r1_zero", votes=votes, engine=ServingEngine(slots=2, machine=Machine(threads=1))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "HEAD_SECONDS", SHORT_SECONDS)
        patch.setattr(guard, "BODY_SECONDS", SHORT_SECONDS)
        with serving(told) as address:
            yield address


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (b"/v1/chat/completions", b"Content-Length: 1000"),
        (b"/v1/responses", b"Transfer-Encoding: chunked"),
        (b"/api/chat", b"Transfer-Encoding: chunked"),
        (b"/api/show", b"Content-Length: 1000"),
        (b"/votes", b"Transfer-Encoding: chunked"),
    ],
)
def test_a_body_that_never_ends_is_given_up(path: bytes, line: bytes, impatient: str) -> None:
    body = b"1\r\n{\r\n" if b"chunked" in line else b'{"model"'
    assert exchange(impatient, request(b"POST", path, body, line, b"Content-Type: application/json")) == [408]


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "],
)
def test_a_head_that_never_ends_is_given_up(sent: bytes, impatient: str) -> None:
    assert exchange(impatient, sent) == []


def test_a_head_that_trickles_is_given_up(impatient: str) -> None:
    host, port = impatient.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            trickle(connection, seconds=DEADLINE_SECONDS)


def trickle(connection: socket.socket, seconds: float) -> None:
    """A header line every now and then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection.sendall(b"X-More: a\r\n")
        time.sleep(0.05)


def test_a_slow_request_is_answered_if_it_comes_in_time(impatient: str) -> None:
    host, port = impatient.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection:
        for _ in range(3):  # more than one on a connection, which lasts longer than either limit
            for piece in (b"GET /hea", b"lth HTTP/1.1\r\nHost: ", HOST.encode() + b"\r\n\r\n"):
                connection.sendall(piece)
                time.sleep(0.1)
            reply = HTTPResponse(connection)
            reply.begin()
            assert (reply.status, "models" in json.loads(reply.read())) == (200, True)


@pytest.fixture(scope="module")
def described(server: ServerProcess) -> Any:
    import schemathesis

    return schemathesis.openapi.from_url(f"{server.address}/openapi.json")


def call(case: Any) -> None:
    """One generated request; of every other with a body, the model is one there is and the reply short."""
    from schemathesis.checks import not_a_server_error

    if isinstance(case.body, dict) and len(str(case.body)) % 2:
        case.body |= {"model": MODEL, "options": {"num_predict": 2}}
        case.body |= dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), 2)
    case.call_and_validate(checks=[not_a_server_error], timeout=DEADLINE_SECONDS)


def call_all(described: Any, num_examples: int) -> int:
    """So many requests for each operation, the same in every run. Returns how many operations there are."""
    operations = [found.ok() for found in described.get_all_operations()]
    for operation in operations:
        generating = settings(
            max_examples=num_examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        generating(given(case=operation.as_strategy())(call))()
    return len(operations)


def test_what_the_description_allows_and_what_it_does_not(described: Any) -> None:
    assert call_all(described, num_examples=20) > 5


@pytest.mark.slow
def test_much_of_what_the_description_allows_and_what_it_does_not(described: Any) -> None:
    assert call_all(described, num_examples=1000) > 5
