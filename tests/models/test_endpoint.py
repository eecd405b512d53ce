"""The client of served models: order, retries, and errors that say what to do."""

import threading
from typing import Any

import pytest

from tests.models.served import chat_reply, serving
from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError
from thinkwright.models import endpoint
from thinkwright.models.endpoint import ServedModel


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)


def settings(url: str, **others: Any) -> Endpoint:
    return Endpoint(url=url, name="judge", timeout_seconds=5, **others)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_replies_come_in_order_with_model_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "secret")
    seen: list[dict[str, Any]] = []

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        seen.append(body)
        return chat_reply(f"{path} {body['messages'][0]['content']}")

    with serving(answer) as url, ServedModel(settings(url, key_variable="TEST_KEY", concurrency=3)) as model:
        replies = model.chat([user(str(i)) for i in range(10)], seed=7)
    assert replies == [f"/v1/chat/completions {i}" for i in range(10)]
    assert {body["_authorization"] for body in seen} == {"Bearer secret"}
    assert {body["model"] for body in seen} == {"judge"}
    assert {int(body["messages"][0]["content"]) + 7 for body in seen} == {body["seed"] for body in seen}
    assert sorted(body["seed"] for body in seen) == list(range(7, 17))


def test_an_outage_is_tried_again_and_then_an_error() -> None:
    counts = {"calls": 0}
    lock = threading.Lock()

    def flaky(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str]:
        with lock:
            counts["calls"] += 1
            return (503, "busy") if counts["calls"] <= 2 else chat_reply("at last")

    with serving(flaky) as url, ServedModel(settings(url, retries=2)) as model:
        assert model.chat([user("a")]) == ["at last"]
        counts["calls"] = -100
        with pytest.raises(EndpointError, match=r"no reply in 3 tries \(status 503: 'busy'\); start the server"):
            model.chat([user("a")])
    with ServedModel(settings(url, retries=1)) as model, pytest.raises(EndpointError, match="no reply in 2 tries"):
        model.chat([user("the server is gone")])


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, "no such model", "refused the request .status 404: 'no such model'.; correct url, name or key"),
        (200, "<html>", "its reply is not JSON"),
        (200, "[1]", "its reply is no JSON object"),
        (200, '{"choices": []}', r"its reply has no choices\[0\].message.content"),
    ],
)
def test_what_cannot_be_used_is_an_error_at_once(status: int, body: str, text: str) -> None:
    with (
        serving(lambda path, _: (status, body)) as url,
        ServedModel(settings(url)) as model,
        pytest.raises(EndpointError, match=text),
    ):
        model.chat([user("a")])


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(EndpointError, match="NO_SUCH_KEY is empty or not set"):
        ServedModel(settings("http://127.0.0.1:1/v1", key_variable="NO_SUCH_KEY"))
