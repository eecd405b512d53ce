"""The client of any server: every way to send a thought, the switches, and what it says when something goes wrong."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.serving.terminal.streaming_server import Event, Script, delta, ending, streaming, told
from thinkwright.chat.thought_splitter import ThoughtSplitter
from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError
from thinkwright.serving.terminal.client import ChatClient, ChatOptions, End, only_model
from thinkwright.serving.terminal.deltas import DeltaReader, Piece, Usage
from thinkwright.serving.terminal.screen import ShownReply

USER = [{"role": "user", "content": "What is 1 + 1?"}]


@pytest.fixture
def script() -> Iterator[Script]:
    with streaming() as found:
        yield found


def ask(script: Script, options: ChatOptions | None = None, **settings: Any) -> tuple[ShownReply, list[Piece]]:
    """The whole reply."""
    reply, pieces = ShownReply("one"), []
    endpoint = Endpoint(**{"url": script.url, "name": "one", "timeout_seconds": 5} | settings)
    with ChatClient(endpoint) as client:
        for piece in client.reply("one", USER, options or ChatOptions()):
            if isinstance(piece, End):
                reply.end = piece
            else:
                pieces.append(piece)
                reply.add(piece)
    return reply, pieces


NULLS = {"content": None, "reasoning_content": None, "reasoning": None}


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [{"role": "assistant", "content": None}, {"reasoning_content": "I "}, {"reasoning_content": "add."},
             {"content": "\n\nTw"}, {"content": "o."}],
            id="DeepSeek, SGLang, llama.cpp",
        ),
        pytest.param([NULLS | {"reasoning": "I add."}, NULLS | {"content": "Two."}], id="vLLM, Ollama"),
        pytest.param([{"reasoning": "I add.", "reasoning_content": "I add."}, {"content": "Two."}], id="ours"),
        pytest.param(
            [{"content": "", "reasoning": "I ", "reasoning_details": [{"type": "reasoning.text", "text": "I "}]},
             {"content": "", "reasoning_details": [{"type": "reasoning.summary", "summary": "add."}]},
             {"content": "", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, {"content": "Two."}],
            id="OpenRouter",
        ),
        pytest.param([{"content": "", "thinking": "I add."}, {"content": "Two."}], id="thinking"),
        pytest.param(
            [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I add."}]}]},
             {"content": [{"type": "text", "text": "Two."}]}],
            id="Mistral",
        ),
        *[
            pytest.param([{"content": char} for char in f"\n<{name}>\nI add.\n</{name}>\n\nTwo."], id=name)
            for name in ("think", "thinking", "reason", "reasoning", "thought")
        ],
        pytest.param([{"content": "<think>I add.</think>Two."}], id="in one piece"),
        pytest.param([{"content": "I add.\n</think>\n\nTwo."}], id="no beginning, in one piece"),
    ],
)  # fmt: skip
def test_thought_and_answer_are_told_apart_however_they_are_sent(deltas: list[Any], script: Script) -> None:
    script.events = told(
        *deltas, prompt_tokens=9, completion_tokens=5, completion_tokens_details={"reasoning_tokens": 3}
    )
    reply, _ = ask(script)
    assert (reply.thought, reply.answer) == ("I add.", "Two.")
    assert reply.end == End("stop", Usage(9, 5, 3))


def test_a_thought_without_a_beginning_is_told_of_when_its_end_comes(script: Script) -> None:
    script.events = told(*[{"content": char} for char in "I add.</think>Two. </think>"])
    reply, pieces = ask(script)
    assert (reply.thought, reply.answer) == ("I add.", "Two.")
    assert [piece for piece in pieces if piece.was_thought] == [Piece("thought", "", was_thought=True)]
    before = pieces[: pieces.index(Piece("thought", "", was_thought=True))]
    assert {piece.kind for piece in before} == {"answer"}


@pytest.mark.parametrize(
    ("deltas", "answer"),
    [
        ([{"content": "Write <think> and <reason> so."}], "Write <think> and <reason> so."),
        ([{"reasoning": "I see."}, {"content": "<think> begins, </think> ends."}], "<think> begins, </think> ends."),
        ([{"content": "<thinking>a</think>b</thinking>Two."}], "Two."),
        ([{"content": "x </reason> y"}], "x </reason> y"),
        ([{"content": "half \ud800 character"}], "half \ufffd character"),
    ],
)
def test_tags_that_open_nothing_are_text(deltas: list[Any], answer: str) -> None:
    reader, reply = DeltaReader(), ShownReply("one")
    for piece in [*reader.feed(deltas[0]), *[piece for one in deltas[1:] for piece in reader.feed(one)]]:
        reply.add(piece)
    for piece in reader.finish():
        reply.add(piece)
    assert reply.answer == answer


def test_where_the_prompt_is_known_an_end_alone_shows_nothing() -> None:
    splitter = ThoughtSplitter(opens_thought=False)
    said = [*splitter.feed("So: a</think> b </think> c <thinking>"), *splitter.finish()]
    assert said == [("answer", "So: a"), ("answer", " b"), ("answer", " c <thinking>")]
    assert not splitter.was_thought


@pytest.mark.parametrize(
    "usage", [{}, {"completion_tokens": 7}, {"completion_tokens": 7, "completion_tokens_details": None}]
)
def test_counts_that_a_server_does_not_give_are_not_made_up(usage: dict[str, Any], script: Script) -> None:
    script.events = told({"reasoning": "I add."}, {"content": "Two."}, **usage)
    reply, _ = ask(script)
    assert reply.end is not None
    assert reply.end.usage == Usage(None, usage.get("completion_tokens"), None)
    assert "tokens" not in reply.thought_label()
    assert reply.summary().startswith("7 tokens") == bool(usage)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (ChatOptions(), {}),
        (ChatOptions(temperature=0.0, top_p=0.9, max_tokens=5), {"temperature": 0, "top_p": 0.9, "max_tokens": 5}),
        (
            ChatOptions(is_thinking=True),
            {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}, "thinking": {"type": "enabled"}},
        ),
        (
            ChatOptions(is_thinking=False, budget=9),
            {
                "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
                "thinking": {"type": "disabled"},
                "reasoning_effort": "none",
            },
        ),
        (ChatOptions(budget=9), {"thinking_token_budget": 9, "chat_template_kwargs": {"thinking_budget": 9}}),
    ],
)
def test_only_what_was_chosen_is_sent(
    options: ChatOptions, sent: dict[str, Any], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "secret")
    script.events = told({"content": "Two."})
    ask(script, options, key_variable="TEST_KEY")
    always = {"model": "one", "messages": USER, "stream": True, "stream_options": {"include_usage": True}}
    assert (script.bodies, script.keys) == ([always | sent], ["Bearer secret"])


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            401,
            '{"error": {"message": "no \\u001b[31m key"}}',
            r"status 401 \(no \[U\+001B\]\[31m key\); give --key-variable",
        ),
        (404, '{"error": "unknown model"}', r"status 404 \(unknown model\); is 'one' one of its models"),
        (400, '{"detail": [1]}', "change what is asked for"),
        (429, "slow down", r"\(slow down\); wait"),
        (503, "<html>" + "x" * 10**6, r"\.\.\.\); ask again, or look at the server's log"),
        (200, "<html>hello</html>", r"no stream of events but 'text/html' \(<html>hello</html>\); correct the address"),
    ],
)
def test_a_refusal_says_what_the_server_said_and_what_helps(status: int, body: str, words: str, script: Script) -> None:
    script.status, script.refusal, script.content_type = status, body, "text/html"
    with pytest.raises(EndpointError, match=words) as error:
        ask(script)
    assert len(str(error.value)) < 600
    assert len(str(error.value).splitlines()) == 1


def test_switches_that_a_server_refuses_are_named(script: Script) -> None:
    script.status, script.refusal = 400, '{"error": {"message": "Unrecognized request argument"}}'
    with pytest.raises(EndpointError, match="leave --thinking and --budget out"):
        ask(script, ChatOptions(is_thinking=False))


def wait() -> None:
    time.sleep(1.0)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "cut the reply off in the middle; ask again"),
        (["data: {broken"], r"sent what cannot be read \(\{broken\)"),
        ([{"error": {"message": "out of memory"}}], r"failed in the middle of its reply \(out of memory\)"),
        (['error: {"code": 500, "message": "slot"}'], r"failed in the middle of its reply \(slot\)"),
        ([wait], r"waited 0\.3 s for its next word"),
        ([lambda: time.sleep(0.2), ": ping"] * 5, r"waited 0\.3 s for one's next word"),
    ],
)
def test_what_came_before_a_failure_is_kept(events: Sequence[Event], words: str, script: Script) -> None:
    script.events = [delta(reasoning="I add."), delta(content="Tw"), *events]
    reply = ShownReply("one")

    def take() -> None:
        with ChatClient(Endpoint(url=script.url, name="one", timeout_seconds=0.3)) as client:
            for piece in client.reply("one", USER, ChatOptions()):
                assert isinstance(piece, Piece)
                reply.add(piece)

    with pytest.raises(EndpointError, match=words):
        take()
    assert (reply.thought, reply.answer, reply.end) == ("I add.", "Tw", None)


def test_a_silent_and_an_absent_server_are_named(script: Script) -> None:
    script.events = [wait]
    with pytest.raises(EndpointError, match=r"waited 0\.3 s for one's first word"):
        ask(script, timeout_seconds=0.3)
    with pytest.raises(EndpointError, match=r"nothing answers there .*; start it, or correct the address"):
        ask(script, url="http://127.0.0.1:1/v1")


def test_a_reply_that_is_closed_ends_the_work_of_the_server(script: Script) -> None:
    script.events = [delta(content="a " * 1000), *[lambda: time.sleep(0.01), delta(content="b " * 1000)] * 500]
    with ChatClient(Endpoint(url=script.url, name="one")) as client:
        pieces = client.reply("one", USER, ChatOptions())
        assert isinstance(next(pieces), Piece)
        pieces.close()
        assert script.left.wait(5)


def test_the_only_model_is_taken_and_several_are_listed(script: Script) -> None:
    with ChatClient(Endpoint(url=script.url, name="")) as client:
        assert only_model(client) == "one"
        script.models = {"data": [{"id": f"m{i}"} for i in range(30)]}
        with pytest.raises(EndpointError, match=r"several models: m0, m1, .* and 10 more; write .*/v1#m0"):
            only_model(client)
        script.models = {"data": []}
        with pytest.raises(EndpointError, match="has no model"):
            only_model(client)
        script.models = ["what"]
        with pytest.raises(EndpointError, match="cannot be read; write URL#NAME"):
            only_model(client)


def test_a_stream_ends_with_its_reason_even_without_done(script: Script) -> None:
    script.events = [delta(content="Two."), json.loads(json.dumps(ending("length")[0]))]
    reply, _ = ask(script)
    assert reply.end == End("length", Usage())


def test_a_server_of_this_machine_is_asked_without_the_proxy(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    script.events = told({"content": "Two."})
    assert ask(script)[0].answer == "Two."
