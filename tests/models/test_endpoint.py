"""The client of served models: order, retries, and errors that say what to do."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.models.served import chat_reply, serving
from thinkwright.config.deciding import deciding
from thinkwright.config.endpoint import Endpoint, checked_url
from thinkwright.errors import EndpointError
from thinkwright.models import endpoint
from thinkwright.models.endpoint import ChatReply, ServedModel


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)


def settings(url: str, **others: Any) -> Endpoint:
    return Endpoint(**{"url": url, "name": "judge", "timeout_seconds": 5} | others)


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
    assert replies == [ChatReply(f"/v1/chat/completions {i}", "stop") for i in range(10)]
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
        assert model.chat([user("a")]) == [ChatReply("at last", "stop")]
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


@pytest.mark.parametrize("key", ["sk-sec\rret", "sk-sécret", "sk-sec\x00ret"])
def test_a_key_that_cannot_be_one_is_refused_without_being_told(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"TEST_KEY": key})
    with pytest.raises(EndpointError, match="TEST_KEY holds a character that no key has") as caught:
        ServedModel(settings("http://127.0.0.1:1/v1", key_variable="TEST_KEY"))
    assert "sec" not in str(caught.value)


def test_a_key_that_ends_with_a_line_end_is_sent_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-secret123\r")
    with (
        serving(lambda _, body: chat_reply(body["_authorization"])) as url,
        ServedModel(settings(url, key_variable="TEST_KEY")) as model,
    ):
        assert model.chat([user("a")])[0].text == "Bearer sk-secret123"


@pytest.mark.parametrize(
    "url",
    [
        "http://host:port/v1", "http://[::1", "http://a..b/v1", "http:///v1", "ftp://a/v1", "a/v1", "http://a b/v1",
        "http://a:99999/v1", "http://a:0/v1", "http://a\n/v1", "http://me:secret@a/v1", "http://a/v1?k=1", "http://",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_by_the_recipe(url: str) -> None:
    with pytest.raises(ValueError, match=r"write it like http://127\.0\.0\.1:8000/v1") as caught:
        settings(url)
    assert "secret" not in str(caught.value.errors()[0]["msg"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "https://a.example.org/v1/", "http://[::1]:8000/v1"])
def test_an_address_is_taken_as_it_is(url: str) -> None:
    assert checked_url(url) == url


def test_how_a_server_is_reached_is_no_part_of_what_a_recipe_makes() -> None:
    one = settings("http://a/v1", retries=1, temperature=0.5).model_dump()
    other = settings("http://b/v1", key_variable="K", temperature=0.5, timeout_seconds=9, concurrency=2).model_dump()
    assert deciding({"judge": one, "url": "x"}) == deciding({"judge": other, "url": "x"})
    assert deciding({"judge": one})["judge"] == {"name": "judge", "temperature": 0.5, "max_tokens": 4096}
    assert deciding({"url": "x", "retries": 1}) == {"url": "x", "retries": 1}  # no endpoint


@pytest.mark.parametrize(
    ("choice", "reply"),
    [
        ({"message": {"content": "half a"}, "finish_reason": "length"}, ChatReply("half a", "length")),
        ({"message": {"content": None}, "finish_reason": "length"}, ChatReply("", "length")),
        ({"message": {"content": "a \ud800 b"}}, ChatReply("a \ufffd b", None)),
    ],
)
def test_a_reply_tells_how_it_ended_and_holds_whole_characters(choice: dict[str, Any], reply: ChatReply) -> None:
    with (
        serving(lambda path, _: (200, {"choices": [choice]})) as url,
        ServedModel(settings(url)) as model,
    ):
        assert model.chat([user("a")]) == [reply]
    assert reply.is_cut == (choice.get("finish_reason") == "length")


def test_text_that_cannot_be_sent_and_a_reply_that_is_too_deep_are_errors() -> None:
    with serving(lambda path, _: (200, '{"a":' * 100_000)) as url, ServedModel(settings(url)) as model:
        with pytest.raises(EndpointError, match="its reply is not JSON"):
            model.chat([user("a")])
        with pytest.raises(EndpointError, match=r"cannot be asked .*surrogates"):
            model.chat([user("\ud800")])


@contextmanager
def trickling(head: bytes, piece: bytes, pause: float) -> Iterator[str]:
    """A server that sends pieces of a reply for as long as somebody listens."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()
        except OSError:
            return

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(head)
                while True:
                    connection.sendall(piece)
                    time.sleep(pause)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize("head", [HEAD, HEAD[:-2]])
def test_a_reply_that_trickles_is_given_up_when_its_time_is_over(head: bytes) -> None:
    with (
        trickling(head, b"a", 0.05) as url,
        ServedModel(settings(url, timeout_seconds=0.4, retries=0)) as model,
        pytest.raises(EndpointError, match=r"no reply in 1 tries \(TimeoutError not whole after 0.4 s\)"),
    ):
        model.chat([user("a")])


def test_a_reply_without_end_is_given_up_when_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_REPLY_BYTES", 1 << 20)
    with (
        trickling(HEAD, b" " * 65536, 0) as url,
        ServedModel(settings(url)) as model,
        pytest.raises(EndpointError, match="its reply is over 1 MB"),
    ):
        model.chat([user("a")])


def test_the_first_failure_ends_all_requests_at_once() -> None:
    seen: list[str] = []
    answered: list[str] = []
    may_answer = threading.Event()

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str]:
        text = body["messages"][0]["content"]
        seen.append(text)
        if text == "1":
            return 404, "no"
        may_answer.wait(20)
        answered.append(text)
        return chat_reply("ok")

    with serving(answer) as url, ServedModel(settings(url, concurrency=2)) as model:
        with pytest.raises(EndpointError, match="refused the request"):
            model.chat([user(str(i)) for i in range(20)])
        assert not answered, "request 0, which comes first, is still under way"
        may_answer.set()
        time.sleep(1.2)
    assert sorted(seen) == ["0", "1"]


def test_whatever_stops_the_caller_ends_the_queue() -> None:
    seen: list[int] = []

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str]:
        seen.append(1)
        time.sleep(0.05)
        return chat_reply("ok")

    with serving(answer) as url, ServedModel(settings(url, concurrency=1)) as model:
        replies = model.chat_each([user(str(i)) for i in range(20)])
        next(replies)
        with pytest.raises(KeyboardInterrupt):
            replies.throw(KeyboardInterrupt)
        time.sleep(0.5)
        assert len(seen) <= 3


def test_a_probe_asks_for_little_and_is_an_error_where_nothing_answers() -> None:
    seen: list[dict[str, Any]] = []

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        seen.append(body)
        return chat_reply("ok")

    with serving(answer) as url, ServedModel(settings(url)) as model:
        model.probe()
    assert [(body["model"], body["max_tokens"]) for body in seen] == [("judge", 16)]
    with ServedModel(settings(url, retries=0)) as model, pytest.raises(EndpointError, match="no reply in 1 tries"):
        model.probe()


def test_a_server_of_this_machine_is_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(lambda path, _: chat_reply("here")) as url, ServedModel(settings(url, retries=0)) as model:
        assert model.chat([user("a")]) == [ChatReply("here", "stop")]
    with (
        ServedModel(settings("http://far.example/v1", retries=0)) as model,
        pytest.raises(EndpointError, match="refused"),
    ):
        model.chat([user("a")])
