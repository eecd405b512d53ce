"""Ollama's chat and generate, and its lists: what requests mean, and that Ollama's own types read the replies."""

import json
from typing import Any

import pytest
from ollama import ChatResponse, GenerateResponse, ListResponse, ShowResponse
from openai.types import Model
from pydantic import ValidationError

from tests.serving.apis.told import MESSAGES, shown_tokens, streamed, tiny_desk, told_of, whole
from thinkwright.serving.apis.model_lists import ollama_show, ollama_tags, ollama_version, openai_model, openai_models
from thinkwright.serving.apis.ollama_chat import OLLAMA_CHAT
from thinkwright.serving.apis.ollama_generate import OLLAMA_GENERATE
from thinkwright.serving.ask import Message, Part, Sampling

CHAT, GENERATE = OLLAMA_CHAT, OLLAMA_GENERATE
THOUGHT, ANSWER = "12 + 7 = 19, 19 - 3 = 16.", "一共 16."


def test_a_reply_has_the_thought_beside_the_content() -> None:
    reply = ChatResponse.model_validate(whole(CHAT, messages=MESSAGES, model="tiny-base:latest", stream=False))
    assert (reply.message.thinking, reply.message.content) == (THOUGHT, ANSWER)
    assert (reply.model, reply.done, reply.done_reason) == ("tiny-base:latest", True, "stop")
    num_prompt = len(told_of(CHAT, messages=MESSAGES).prepared[0].rendered.token_ids)
    assert (reply.prompt_eval_count, reply.eval_count) == (num_prompt, 21)
    generated = GenerateResponse.model_validate(whole(GENERATE, prompt="What is 12 + 7 - 3?"))
    assert (generated.thinking, generated.response, generated.eval_count) == (THOUGHT, ANSWER, 21)


def test_durations_are_measured_and_add_up() -> None:
    for reply in (
        whole(CHAT, messages=MESSAGES),
        json.loads(streamed(CHAT, messages=MESSAGES).splitlines()[-1]),
    ):
        parts = reply["load_duration"] + reply["prompt_eval_duration"] + reply["eval_duration"]
        assert 0 < reply["total_duration"] < 60e9
        assert abs(reply["total_duration"] - parts) <= 2  # nanoseconds are cut off
        assert min(reply["prompt_eval_duration"], reply["eval_duration"]) >= 0


@pytest.mark.parametrize(("dialect", "body"), [(CHAT, {"messages": MESSAGES}), (GENERATE, {"prompt": "1"})])
def test_a_stream_is_lines_and_the_last_one_has_the_counts(dialect: Any, body: dict[str, Any]) -> None:
    lines = [json.loads(text) for text in streamed(dialect, **body).splitlines()]
    is_chat = dialect is CHAT
    kind = ChatResponse if is_chat else GenerateResponse
    texts = []
    for line in lines:
        kind.model_validate(line)
        texts.append(line["message"] if is_chat else line)
    content = "content" if is_chat else "response"
    assert "".join(text.get("thinking", "") for text in texts) == THOUGHT
    assert "".join(text[content] for text in texts) == ANSWER
    assert not any(text.get("thinking") and text[content] for text in texts)
    assert [line["done"] for line in lines] == [False] * 5 + [True]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"], texts[-1][content]) == ("stop", 21, "")


def test_a_stream_is_what_a_client_gets_that_does_not_say() -> None:
    assert told_of(CHAT, messages=MESSAGES).wanted.is_stream
    assert told_of(CHAT, messages=MESSAGES, stream=None).wanted.is_stream
    assert not told_of(GENERATE, prompt="1", stream=False).wanted.is_stream


def test_options_and_names() -> None:
    options = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "num_predict": 9,
        "seed": 7,
        "stop": ["a", "b"],
        "num_ctx": 4096,
        "repeat_penalty": 1.0,
    }
    wanted = told_of(CHAT, messages=MESSAGES, model="tiny-base:latest", options=options).wanted
    assert wanted.model == "tiny-base"
    assert wanted.asks[0].sampling == Sampling(0.5, 0.9, 40, 0.1, 9, 7, ("a", "b"))
    free = told_of(CHAT, messages=MESSAGES, options={"num_predict": -1, "seed": -1}).wanted.asks[0]
    assert free.sampling == Sampling()


@pytest.mark.parametrize(("dialect", "body"), [(CHAT, {}), (CHAT, {"messages": []}), (GENERATE, {"prompt": ""})])
def test_a_model_that_is_only_to_be_loaded_is_there(dialect: Any, body: dict[str, Any]) -> None:
    told = told_of(dialect, **body)
    assert told.prepared == []
    assert not told.wanted.is_stream
    found = dialect.whole(told, [])
    assert (found["done"], found["done_reason"], found["model"]) == (True, "load", "tiny-base")


def test_generate_asks_through_the_template_or_goes_on_with_a_raw_text() -> None:
    asked = told_of(GENERATE, prompt="1 + 1", system="Be short.", think=False)
    assert asked.wanted.asks[0].messages == (Message("system", "Be short."), Message("user", "1 + 1"))
    assert not asked.wanted.asks[0].thinking.is_on
    raw = told_of(GENERATE, prompt="1 + 1", raw=True)
    assert raw.prepared[0].rendered.text == "1 + 1"


def test_earlier_thoughts_are_read() -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "16", "thinking": "19 - 3"}]
    assert told_of(CHAT, messages=messages).wanted.asks[0].messages[1] == Message("assistant", "16", "19 - 3")


@pytest.mark.parametrize(
    ("dialect", "body", "reason"),
    [
        (CHAT, {"messages": MESSAGES, "format": "json"}, "not held to a form"),
        (CHAT, {"messages": MESSAGES, "tools": [{}]}, "call no tools"),
        (CHAT, {"messages": [{"role": "user", "content": "a", "images": ["aGk="]}]}, "read text alone"),
        (CHAT, {"messages": MESSAGES, "think": "much"}, "'low'"),
        (CHAT, {"messages": MESSAGES, "think": 1}, "true, false or an effort"),
        (CHAT, {"messages": MESSAGES, "options": {"repeat_penalty": 1.1}}, "not punished"),
        (CHAT, {"messages": MESSAGES, "options": {"mirostat": 2}}, "drawn by temperature"),
        (CHAT, {"messages": MESSAGES, "options": {"top_p": 0}}, "greater than 0"),
        (CHAT, {"messages": MESSAGES, "top_logprobs": 2}, "without logprobs"),
        (GENERATE, {"prompt": "\udc00"}, "half a surrogate"),
        (GENERATE, {"prompt": "a", "suffix": "b"}, "not filled in"),
        (GENERATE, {"prompt": "a", "context": [1]}, "nothing is kept"),
        (GENERATE, {"prompt": "a", "template": "{{ .Prompt }}"}, "as it was in training"),
        (GENERATE, {"prompt": "a", "raw": True, "system": "b"}, "no effect with raw"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(dialect: Any, body: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as found:
        told_of(dialect, **body)
    assert reason in found.value.errors()[0]["msg"]


def test_log_probabilities() -> None:
    thought, answer = shown_tokens(" 12", is_thought=True), shown_tokens("16")
    parts = (Part(0, "12", "16", thought + answer, "stop", 4, 2),)
    body = {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2}
    found = ChatResponse.model_validate(whole(CHAT, parts, **body)).logprobs
    assert found is not None
    assert "".join(row.token for row in found) == " 1216"
    lines = [json.loads(text) for text in streamed(CHAT, parts, **body).splitlines()]
    assert ["".join(row["token"] for row in line.get("logprobs", ())) for line in lines] == [" 12", "16", ""]


def test_errors_are_ollamas() -> None:
    assert CHAT.error(404, "there is no model 'x\ud800'", "model_not_found") == {"error": "there is no model 'x?'"}
    assert GENERATE.stream_error(503, "ended", "backend_error", 7) == '{"error":"ended"}\n'


def test_lists_of_models() -> None:
    desks = {"tiny-base": tiny_desk()}
    listed = openai_models(desks)
    assert [Model.model_validate(row, strict=True).id for row in listed["data"]] == ["tiny-base"]
    assert openai_model(tiny_desk())["max_model_len"] == 2048
    (tag,) = ListResponse.model_validate(ollama_tags(desks)).models
    assert (tag.model, tag.size) == ("tiny-base", 4_000_000)
    assert tag.details is not None
    assert tag.details.parameter_size == "1.0M"
    shown = ShowResponse.model_validate(ollama_show(tiny_desk()))
    assert shown.capabilities == ["completion", "thinking"]
    assert "enable_thinking" in (shown.template or "")
    assert (shown.modelinfo or {})["qwen2.context_length"] == 2048
    assert set(ollama_version(desks)) == {"version"}
