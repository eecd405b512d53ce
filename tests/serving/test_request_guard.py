"""Who may ask: keys, names, origins and sizes, before anything of a request is read."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from thinkwright.cli.serving import add_serve_verb
from thinkwright.config.serving import ServeSettings
from thinkwright.errors import RecipeError
from thinkwright.serving.guard import Guard, TooLarge, body_of, too_large
from thinkwright.serving.metrics import ServingMetrics

LIMIT = 100


async def echo(request: Request) -> Response:
    return JSONResponse({"length": len(await request.body())})


def client(**settings: Any) -> TestClient:
    given = {"metrics": ServingMetrics({}), "api_key": None, "is_loopback": True, "max_body_bytes": LIMIT} | settings
    routes = [Route(path, echo, methods=["GET", "POST"]) for path in ("/", "/health", "/v1/models", "/page/main.js")]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, **given)],
        exception_handlers={TooLarge: lambda request, error: too_large(LIMIT)},
    )
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer secret"}, 200),
        ({"authorization": "bearer  secret "}, 200),
        ({"x-api-key": "secret"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic secret"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Bearer secr\xe9t".encode("latin-1")}, 401),
    ],
)
def test_a_key_is_asked_for_where_there_is_one(headers: dict[str, Any], status: int) -> None:
    found = client(api_key="secret").get("/v1/models", headers=headers)
    assert found.status_code == status
    assert client().get("/v1/models").status_code == 200
    if status == 401:
        assert found.headers["www-authenticate"] == "Bearer"
        assert "secret" not in found.text


@pytest.mark.parametrize("path", ["/", "/health", "/page/main.js"])
def test_the_page_itself_needs_no_key(path: str) -> None:
    assert client(api_key="secret").get(path).status_code == 200


def test_other_names_and_other_sites_are_refused() -> None:
    local = client()
    assert local.get("/health", headers={"host": "evil.example:8000"}).status_code == 421
    assert local.get("/health", headers={"host": "localhost:8000"}).status_code == 200
    assert client(is_loopback=False).get("/health", headers={"host": "gpu.example"}).status_code == 200
    own, other, none = "http://127.0.0.1:8000", "http://evil.example", "null"
    assert local.post("/v1/models", headers={"origin": own}).status_code == 200
    assert local.post("/v1/models", headers={"origin": other}).status_code == 403
    assert local.post("/v1/models", headers={"origin": none}).status_code == 403


def in_pieces() -> Iterator[bytes]:
    for _ in range(3):
        yield b"x" * 50


@pytest.mark.parametrize("content", [b"x" * (LIMIT + 1), in_pieces], ids=["told", "untold"])
def test_a_body_over_the_limit_is_refused(content: bytes | Callable[[], Iterator[bytes]]) -> None:
    sent = content if isinstance(content, bytes) else content()
    assert client().post("/v1/models", content=sent).status_code == 413
    assert client().post("/v1/models", content=b"x" * LIMIT).json() == {"length": LIMIT}


def test_every_answer_says_how_it_may_be_used() -> None:
    for path, headers in (("/health", {}), ("/nowhere", {}), ("/health", {"host": "evil.example"})):
        found = client().get(path, headers=headers)
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 10_000 + b"}"])
def test_what_is_no_json_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        body_of(raw)


def test_a_blank_key_is_none_and_a_line_break_is_no_part_of_one() -> None:
    assert ServeSettings(("m",), api_key="secret\n").api_key == "secret"
    for blank in ("", " \n"):
        with pytest.raises(RecipeError, match="--api-key: is blank"):
            ServeSettings(("m",), api_key=blank)
    assert client(api_key="secret").get("/v1/models", headers={"x-api-key": " secret "}).status_code == 200


def test_a_proxys_name_is_taken_as_the_servers_own() -> None:
    named = client(names=["Chat.example"])
    for host, origin in (
        ("chat.example", "https://chat.example"),
        ("chat.example:8443", "https://CHAT.example:8443"),
        ("127.0.0.1:8000", "https://chat.example"),
    ):
        assert named.post("/v1/models", headers={"host": host, "origin": origin}).status_code == 200
    for host, origin, status in (
        ("other.example", "https://chat.example", 421),
        ("chat.example", "https://other.example", 403),
        ("chat.example.evil.example", "https://chat.example", 421),
        ("[", "https://chat.example", 421),
    ):
        refused = named.post("/v1/models", headers={"host": host, "origin": origin})
        assert refused.status_code == status
        assert "--name" in refused.json()["error"]["message"]
    for wrong in ("https://chat.example", "chat.example:80", ""):
        with pytest.raises(RecipeError, match="--name"):
            ServeSettings(("m",), names=(wrong,))


def test_names_may_be_given_together_and_one_by_one() -> None:
    parser = argparse.ArgumentParser()
    add_serve_verb(parser.add_subparsers())
    assert parser.parse_args(["serve", "m", "--name", "a.example,b.example", "--name", "c.example"]).names == [
        "a.example",
        "b.example",
        "c.example",
    ]
    assert parser.parse_args(["serve", "m"]).names is None
