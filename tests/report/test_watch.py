"""The server of live pages, asked over a real socket."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.report.browser_folder import mixed_groups, write_step
from tests.report.conftest import write_json
from tests.report.watch_process import WatchProcess
from thinkwright.report import watch_app
from thinkwright.report.watch_app import make_app
from thinkwright.web import is_own_name


class _Server(WatchProcess):
    """One that is asked, and listened to."""

    def __init__(self, folder, log):
        super().__init__(folder, log)
        self.port = urlsplit(self.address).port
        self.streams = []

    def events(self, path="/events"):
        """A new viewer's stream of events."""
        self.streams.append(_Events(self.port, path))
        return self.streams[-1]

    def ask(self, path, method="GET", host=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={"Host": host} if host else {})
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply, content


@pytest.fixture
def serve(tmp_path_factory):
    """Start servers that are ended with the test."""
    servers = []

    def start(folder):
        servers.append(_Server(folder, tmp_path_factory.mktemp("watch") / "log"))
        return servers[-1]

    yield start
    for server in servers:
        for stream in server.streams:
            stream.close()
        server.stop()


class _Events:
    """The stream of events of a server."""

    def __init__(self, port, path):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.connection.request("GET", path)
        self.reply = self.connection.getresponse()

    def close(self):
        """End the stream."""
        self.reply.close()
        self.connection.close()

    def next(self):
        """The data of the next event."""
        while True:
            line = self.reply.readline().decode()
            assert line, "the stream ended"
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))


def test_the_page_its_sections_and_steps_are_served(run_folder, serve):
    write_step(run_folder, 7, mixed_groups(7))
    server = serve(run_folder)
    reply, page = server.ask("/")
    assert (reply.status, b'<section id="rollouts">' in page) == (200, True)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert b"connect-src 'self'" in page
    reply, sections = server.ask("/sections")
    assert sections.startswith(b'<header class="top">')
    assert reply.headers["x-version"]
    assert json.loads(server.ask("/rollouts")[1]) == {"steps": [7]}
    assert json.loads(server.ask("/evaluations")[1]) == {"steps": [0, 20, 40, 60]}
    assert json.loads(server.ask("/rollouts/7")[1])["of"] == 9
    assert json.loads(server.ask("/evaluations/20")[1])["of"] == 56
    assert b"the page waits" not in server.told.encode()


def test_what_is_not_there_is_not_found(run_folder, serve):
    server = serve(run_folder)
    for path in ("/rollouts/8", "/rollouts/x", "/rollouts/-1", "/rollouts/7/..", "/stages/x/", "/recipe.json"):
        assert server.ask(path)[0].status == 404, path


def test_nothing_leads_out_of_the_folder(run_folder, serve):
    (run_folder.parent / "secret.json").write_text("secret")
    server = serve(run_folder)
    for path in (
        "/../secret.json",
        "/stages/../secret.json",
        "/stages/%2e%2e/",
        "/rollouts/%2e%2e%2fsecret",
        "//etc/passwd",
    ):
        reply, content = server.ask(path)
        assert reply.status in (404, 307)
        assert b"secret" not in content


def test_only_get_and_head_are_answered(run_folder, serve):
    server = serve(run_folder)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        reply, _ = server.ask("/", method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    for path in ("/", "/events", "/rollouts"):
        reply, content = server.ask(path, "HEAD")
        assert (reply.status, content) == (200, b"")


def test_a_page_elsewhere_cannot_use_a_name_of_its_own(run_folder, serve):
    server = serve(run_folder)
    reply, content = server.ask("/", host=f"evil.example:{server.port}")
    assert reply.status == 421
    assert b"zero-0" not in content
    assert server.ask("/", host=f"localhost:{server.port}")[0].status == 200
    assert "access-control-allow-origin" not in server.ask("/")[0].headers


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:80", True), ("localhost", True), ("LOCALHOST:1", True), ("[::1]:80", True), ("[::1]", True),
        ("", False), ("127.0.0.1.evil.example", False), ("localhost.evil.example:80", False), ("10.0.0.1:80", False),
    ],
)  # fmt: skip
def test_own_names(host, is_own):
    assert is_own_name(host) == is_own


def test_every_viewer_hears_of_each_change(run_folder, serve):
    server = serve(run_folder)
    viewers = [server.events() for _ in range(3)]
    first = [viewer.next() for viewer in viewers]
    assert all(news == first[0] for news in first)
    assert first[0]["changed"] == []
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "reward/total": 1.0}\n')
    for viewer in viewers:
        news = viewer.next()
        assert news["changed"] == ["metrics"]
        assert news["run"] == first[0]["run"]
    assert b"61 of 60" in server.ask("/sections")[1]


def test_a_server_may_start_before_the_run(run_folder, serve):
    elsewhere = run_folder.rename(run_folder.with_name("later"))
    server = serve(run_folder)
    assert "the page waits for it" in server.told
    assert b"Waiting for the run to begin" in server.ask("/")[1]
    events = server.events()
    first = events.next()
    elsewhere.rename(run_folder)
    assert events.next()["run"] != first["run"]
    assert b"<h1>A model" in server.ask("/")[1]


def test_an_interrupt_ends_it_cleanly_with_viewers_there(run_folder, serve):
    server = serve(run_folder)
    events = server.events()
    events.next()
    assert server.stop() == 0
    assert server.said().splitlines() == server.first_lines


def test_it_writes_nothing(run_folder, serve):
    write_step(run_folder, 0, mixed_groups(0))
    files = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    server = serve(run_folder)
    for path in ("/", "/sections", "/rollouts/0", "/evaluations/20"):
        assert server.ask(path)[0].status == 200
    server.stop()
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == files


def test_a_port_that_is_taken_is_told_with_the_way_out(run_folder, serve):
    port = serve(run_folder).port
    command = [sys.executable, "-m", "thinkwright", "watch", str(run_folder), "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}: cannot be listened at" in done.stderr
    assert "--port 0" in done.stderr


def test_the_stages_of_a_pipeline_have_pages_of_their_own(run_folder, serve, tmp_path):
    folder = tmp_path / "whole"
    rows = [{"name": name, "type": "rl", "inputs": [], "gates": []} for name in ("zero", "more")]
    write_json(folder / "pipeline.json", {"name": "whole.toml", "stages": rows})
    (folder / "stages").mkdir()
    run_folder.rename(folder / "stages" / "01-zero")
    server = serve(folder)
    page = server.ask("/")[1].decode()
    assert 'Newest stage, live: <a href="stages/01-zero/">01-zero</a>' in page
    reply, stage = server.ask("/stages/01-zero/")
    assert (reply.status, b"<h1>A model" in stage) == (200, True)
    assert json.loads(server.ask("/stages/01-zero/evaluations")[1])["steps"] == [0, 20, 40, 60]
    assert server.events("/stages/01-zero/events").next()["changed"] == []
    assert server.ask("/stages/01-zero/report.html")[0].headers["location"] == "./"
    assert server.ask("/stages/02-more/")[0].status == 404


def test_a_quiet_stream_is_kept_alive(run_folder, monkeypatch):
    monkeypatch.setattr(watch_app, "PING_SECONDS", 0.3)
    closing_at = time.monotonic() + 1.5
    app = make_app(run_folder, is_loopback=True, is_closing=lambda: time.monotonic() > closing_at)
    sent = []

    async def receive():
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/events", "raw_path": b"/events", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")], "asgi": {"version": "3.0", "spec_version": "2.4"},
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert sum(message.get("body") == b": ping\n\n" for message in sent) >= 2


def test_help_names_the_verb():
    done = subprocess.run(
        [sys.executable, "-m", "thinkwright", "watch", "--help"], capture_output=True, text=True, env={**os.environ}
    )
    assert "--port" in done.stdout
