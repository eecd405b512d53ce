"""The official clients of OpenAI and Ollama against a real server, and what it does as they come, leave and crowd."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import ollama
import openai
import pytest
import torch

from tests.serving.server_process import MODEL, load_of, metric, server_process, wait_until_idle
from thinkwright.chat.formats import THOUGHT_OFF
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.recipe import Machine
from thinkwright.config.serving import ServeSettings, ServingEngine
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.serving.serve import serving
from thinkwright.types import Rollout

QUESTION = "What is 12 + 7 - 3?"
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]
PROMPT = TEMPLATES["r1_zero"].prompt(QUESTION)
MAX_TOKENS = 64
LONG: dict[str, Any] = {"max_tokens": 400, "temperature": 1.0, "extra_body": {"ignore_eos": True}}
"""A reply that goes on for a while, whatever the model says."""
MACHINE = Machine(threads=1, dtype="float32")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    votes = tmp_path_factory.mktemp("serving") / "votes.sqlite"
    engine = ServingEngine(slots=4, machine=MACHINE)
    with serving(ServeSettings((MODEL,), port=0, template="r1_zero", votes=votes, engine=engine)) as found:
        yield found


@pytest.fixture(scope="module")
def small_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a key, one slot, and one place to wait."""
    votes = tmp_path_factory.mktemp("serving") / "votes.sqlite"
    engine = ServingEngine(slots=1, queue=1, machine=MACHINE)
    settings = ServeSettings((MODEL,), port=0, template="r1_zero", votes=votes, engine=engine, api_key="our-key")
    with serving(settings) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def llama(address: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=address) as found:
        yield found


@cache
def policy() -> Policy:
    return load_policy(resolve_model_name(MODEL), device=torch.device("cpu"), dtype=torch.float32)


@cache
def natively(prompt: str) -> Rollout:
    """The greedy completion by our engine, which the server must not change."""
    ids = tuple(policy().tokenizer.encode(prompt, add_special_tokens=False))
    settings = SamplingSettings(1, MAX_TOKENS, 1.0, seed=0, step=0, top_k=1)
    return NativeEngine(policy(), 1).generate([RolloutRequest("one", ids)], settings)[0][0]


def greedy_parts(prompt: str = PROMPT) -> tuple[str, str]:
    """Its thought and its answer."""
    reply = TEMPLATES["r1_zero"].split(natively(prompt).text)
    assert reply.answer
    return reply.thought, reply.answer


def thought_of(message: Any) -> str:
    """The same under both names; a reply without a thought has neither."""
    assert message.model_extra.get("reasoning") == message.model_extra.get("reasoning_content")
    return message.model_extra.get("reasoning", "")


def test_a_chat_is_the_engines_own(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=MAX_TOKENS)
    (choice,) = found.choices
    assert (thought_of(choice.message), choice.message.content) == greedy_parts()
    assert (choice.finish_reason, found.model) == ("stop", MODEL)
    assert found.usage is not None
    assert found.usage.completion_tokens == len(natively(PROMPT).token_ids)
    assert found.usage.prompt_tokens == len(policy().tokenizer.encode(PROMPT, add_special_tokens=False))
    details = found.usage.completion_tokens_details
    assert details is not None
    assert 0 < (details.reasoning_tokens or 0) < found.usage.completion_tokens


def test_a_streamed_chat_has_the_same_text_and_counts(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model=MODEL, messages=MESSAGES, temperature=0, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    thought = "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas)
    assert (thought, "".join(delta.content or "" for delta in deltas)) == greedy_parts()
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(natively(PROMPT).token_ids)


def test_several_choices_differ_and_a_seed_brings_them_again(client: openai.OpenAI) -> None:
    def ask(seed: int) -> list[str]:
        found = client.chat.completions.create(
            model=MODEL, messages=MESSAGES, n=4, temperature=1.5, top_p=1, seed=seed, max_tokens=MAX_TOKENS
        )
        assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
        return [f"{thought_of(choice.message)}|{choice.message.content}" for choice in found.choices]

    first = ask(7)
    assert len(set(first)) > 1
    assert ask(7) == first
    assert ask(8) != first


def test_log_probabilities_are_the_engines_own(client: openai.OpenAI) -> None:
    rollout = natively(PROMPT)
    found = client.completions.create(
        model=MODEL, prompt=PROMPT, temperature=0, max_tokens=MAX_TOKENS, logprobs=3
    ).choices[0]
    assert found.text == rollout.text
    assert found.logprobs is not None
    told, top = found.logprobs.token_logprobs, found.logprobs.top_logprobs
    assert told is not None
    assert top is not None
    assert told == pytest.approx(rollout.untempered_logprobs[: len(told)], abs=1e-4)
    assert len(told) >= len(rollout.token_ids) - 1
    assert all(max(row.values()) == pytest.approx(one, abs=1e-4) for row, one in zip(top, told, strict=True))
    chat = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, temperature=0, max_tokens=MAX_TOKENS, logprobs=True, top_logprobs=2
    ).choices[0]
    assert chat.logprobs is not None
    rows = chat.logprobs.content or []
    assert all(row.top_logprobs[0].token == row.token and len(row.top_logprobs) == 2 for row in rows)
    assert (chat.message.content or "") in "".join(row.token for row in rows)


def test_a_stop_text_ends_the_answer_but_not_the_thought(client: openai.OpenAI) -> None:
    thought, answer = greedy_parts()
    found = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, temperature=0, stop=[answer[-1], thought[:4]], max_tokens=MAX_TOKENS
    ).choices[0]
    assert thought_of(found.message) == thought
    assert found.message.content == answer[: answer.index(answer[-1])]
    assert found.finish_reason == "stop"


def test_text_completions_are_not_told_apart(client: openai.OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt=PROMPT, temperature=0, max_tokens=MAX_TOKENS)
    assert whole.choices[0].text == natively(PROMPT).text
    with client.completions.create(
        model=MODEL, prompt=[PROMPT, "1 + 1 ="], temperature=0, max_tokens=MAX_TOKENS, stream=True
    ) as stream:
        texts = ["", ""]
        for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.text
    assert texts == [natively(PROMPT).text, natively("1 + 1 =").text]


def test_responses(client: openai.OpenAI) -> None:
    thought, answer = greedy_parts()
    whole = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    assert (whole.output_text, whole.status) == (answer, "completed")
    assert whole.output[0].type == "reasoning"
    assert [part.text for part in whole.output[0].content or []] == [thought]
    with client.responses.stream(model=MODEL, input=QUESTION, temperature=0) as stream:
        events = list(stream)
        last = stream.get_final_response()
    assert last.output_text == answer
    said = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert said == thought
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_errors_are_the_clients_own_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="only tiny-base"):
        client.chat.completions.create(model="another", messages=MESSAGES)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=-1)
    with pytest.raises(openai.BadRequestError, match="characters long, and the model takes") as caught:
        client.completions.create(model=MODEL, prompt="one two " * 2000)
    assert caught.value.code == "context_length_exceeded"


def test_ollamas_client_chats(llama: ollama.Client) -> None:
    thought, answer = greedy_parts()
    options = {"temperature": 0, "num_predict": MAX_TOKENS}
    whole = llama.chat(model=MODEL, messages=MESSAGES, think=True, options=options)
    assert (whole.message.thinking, whole.message.content) == (thought, answer)
    assert (whole.done_reason, whole.eval_count) == ("stop", len(natively(PROMPT).token_ids))
    pieces = list(llama.chat(model=MODEL, messages=MESSAGES, think=True, options=options, stream=True))
    assert "".join(piece.message.thinking or "" for piece in pieces) == thought
    assert "".join(piece.message.content or "" for piece in pieces) == answer
    assert [piece.done for piece in pieces].count(True) == 1
    off = llama.chat(model=MODEL, messages=MESSAGES, think=False, options=options)
    assert not off.message.thinking
    # The native completion goes on from the thought that the prompt ends.
    native = natively(PROMPT + THOUGHT_OFF).text
    assert off.message.content == native.replace("<answer>", "").replace("</answer>", "").strip()


def test_ollamas_client_generates_and_lists(llama: ollama.Client) -> None:
    thought, answer = greedy_parts()
    found = llama.generate(model=MODEL, prompt=QUESTION, think=True, options={"temperature": 0})
    assert (found.thinking, found.response) == (thought, answer)
    raw = llama.generate(model=MODEL, prompt=PROMPT, raw=True, options={"temperature": 0, "num_predict": MAX_TOKENS})
    assert raw.response == natively(PROMPT).text
    assert [(model.model or "").removesuffix(":latest") for model in llama.list().models] == [MODEL]
    assert "thinking" in (llama.show(MODEL).capabilities or [])
    with pytest.raises(ollama.ResponseError, match="only tiny-base") as caught:
        llama.chat(model="another", messages=MESSAGES)
    assert caught.value.status_code == 404


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_leaves_frees_its_slots(is_stream: bool, address: str) -> None:
    """Long before the replies would have been whole, as the time of a patient client shows."""
    body = {"model": MODEL, "messages": MESSAGES, "n": 8, "max_tokens": 400, "ignore_eos": True, "stream": is_stream}
    content = json.dumps(body).encode()
    started = time.monotonic()
    httpx2.post(f"{address}/v1/chat/completions", json=body, timeout=300).raise_for_status()
    whole_seconds = time.monotonic() - started
    left = metric(address, "thinkwright_abandoned_requests_total", model=MODEL)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        if is_stream:
            assert b"200 OK" in connection.recv(4096)
        else:
            wait_until(lambda: load_of(address)["num_running"] == 4)
    started = time.monotonic()
    load = wait_until_idle(address, 300)
    assert (load["num_running"], load["num_waiting"]) == (0, 0)
    assert time.monotonic() - started < whole_seconds / 2
    wait_until(lambda: metric(address, "thinkwright_abandoned_requests_total", model=MODEL) == left + 1)


def wait_until(is_so: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_full_queue_asks_to_come_again(small_address: str) -> None:
    with openai.OpenAI(base_url=f"{small_address}/v1", api_key="our-key", max_retries=0) as client:
        with client.chat.completions.create(model=MODEL, messages=MESSAGES, n=2, stream=True, **LONG) as stream:
            next(iter(stream))
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        wait_until_idle(small_address, 30, key="our-key")
        assert client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=4).choices


def test_a_key_is_needed_where_one_is_set(small_address: str) -> None:
    for key in ("another", "our-ke"):
        with (
            openai.OpenAI(base_url=f"{small_address}/v1", api_key=key, max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.models.list()
    with ollama.Client(host=small_address) as client, pytest.raises(ollama.ResponseError) as caught:
        client.list()
    assert caught.value.status_code == 401
    with ollama.Client(host=small_address, headers={"authorization": "Bearer our-key"}) as client:
        assert client.list().models


def streamed(address: str, seed: int, has_begun: threading.Semaphore) -> tuple[str, str | None]:
    """A long reply, and why it ended."""
    text, reason = "", None
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
        client.completions.create(model=MODEL, prompt=PROMPT, seed=seed, stream=True, **LONG) as stream,
    ):
        for chunk in stream:
            if not text:
                has_begun.release()
            text += chunk.choices[0].text
            reason = chunk.choices[0].finish_reason or reason
    return text, reason


@pytest.mark.slow
def test_new_weights_and_the_end_of_the_server_drop_no_stream(tmp_path: Path) -> None:
    """The weights that are taken at SIGHUP are the same, so the texts must be, too."""
    begun = threading.Semaphore(0)
    with server_process(tmp_path) as server, ThreadPoolExecutor(8) as threads:
        address = server.address

        def start_all() -> list[Any]:
            found = [threads.submit(streamed, address, seed, begun) for seed in range(8)]
            for _ in found:
                assert begun.acquire(timeout=60)
            return found

        undisturbed = [future.result(timeout=120) for future in start_all()]
        assert {reason for _, reason in undisturbed} == {"length"}
        running = start_all()
        server.process.send_signal(signal.SIGHUP)
        assert [future.result(timeout=120) for future in running] == undisturbed
        wait_until(lambda: f"{MODEL} now answers with" in server.log_text())
        running = start_all()
        server.process.terminate()
        assert [future.result(timeout=120) for future in running] == undisturbed
        assert server.process.wait(30) in (0, -signal.SIGTERM)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{address}/health")
    assert "Traceback" not in server.log_text()
