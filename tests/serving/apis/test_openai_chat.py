"""Chat completions: what requests mean, and that OpenAI's own types read the replies."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError

from tests.serving.apis.told import MESSAGES, PARTS, events, shown_tokens, streamed, tiny_desk, told_of, whole
from thinkwright.serving.apis.openai_chat import OpenAiChat
from thinkwright.serving.ask import BadRequest, Message, Part, Sampling

CHAT = OpenAiChat()
THOUGHT, ANSWER = "12 + 7 = 19, 19 - 3 = 16.", "一共 16."


def read(**body: Any) -> Any:
    return told_of(CHAT, **{"messages": MESSAGES} | body).wanted


def refusal(**body: Any) -> str:
    with pytest.raises((ValidationError, BadRequest)) as found:
        read(**body)
    error = found.value
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


def test_a_reply_has_the_thought_beside_the_content_under_both_names() -> None:
    reply = whole(CHAT, messages=MESSAGES)
    choice = ChatCompletion.model_validate(reply, strict=True).choices[0]
    assert (choice.message.content, choice.finish_reason, choice.logprobs) == (ANSWER, "stop", None)
    assert reply["choices"][0]["message"]["reasoning_content"] == THOUGHT
    assert reply["choices"][0]["message"]["reasoning"] == THOUGHT
    num_prompt = len(told_of(CHAT, messages=MESSAGES).prepared[0].rendered.token_ids)
    assert reply["usage"] == {
        "prompt_tokens": num_prompt,
        "completion_tokens": 21,
        "total_tokens": num_prompt + 21,
        "completion_tokens_details": {"reasoning_tokens": 14},
    }


def test_a_reply_that_ends_in_its_thought_has_an_empty_content() -> None:
    parts = (Part(0, thought="12 +", end="length", num_tokens=3, num_thinking_tokens=3),)
    choice = whole(CHAT, parts, messages=MESSAGES)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")


def test_a_stream_begins_with_the_role_and_each_delta_has_one_kind_of_text() -> None:
    text = streamed(CHAT, messages=MESSAGES, stream_options={"include_usage": True})
    assert text.endswith("data: [DONE]\n\n")
    chunks = events(text)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [set(delta) for delta in deltas[1:]] == [
        {"reasoning_content", "reasoning"},
        {"reasoning_content", "reasoning"},
        {"content"},
        {"content"},
        {"content"},
        set(),
    ]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == THOUGHT
    assert "".join(delta.get("reasoning", "") for delta in deltas) == THOUGHT
    assert "".join(delta.get("content", "") for delta in deltas) == ANSWER
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * 6 + ["stop"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 14}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_choices_of_a_stream_each_begin_and_end() -> None:
    parts = (
        Part(1, answer="b"),
        Part(0, answer="a", end="length", num_tokens=1),
        Part(1, end="stop", num_tokens=2),
    )
    chunks = events(streamed(CHAT, parts, messages=MESSAGES, n=2))
    told = [
        (chunk["choices"][0]["index"], chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"])
        for chunk in chunks
    ]
    first = {"role": "assistant", "content": ""}
    assert told == [
        (1, first, None),
        (1, {"content": "b"}, None),
        (0, first, None),
        (0, {"content": "a"}, None),
        (0, {}, "length"),
        (1, {}, "stop"),
    ]
    assert "usage" not in chunks[-1]


def test_log_probabilities_are_of_the_answer_with_the_thoughts_beside_them() -> None:
    thought, answer = shown_tokens(" 12 + 7", is_thought=True), shown_tokens("一共 16")
    parts = (Part(0, "12 + 7", "一共 16", thought + answer, "stop", 9, 4),)
    body = {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2}
    reply = whole(CHAT, parts, **body)
    logprobs = ChatCompletion.model_validate(reply, strict=True).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert b"".join(bytes(token.bytes or ()) for token in logprobs.content).decode() == "一共 16"
    assert [token.logprob for token in logprobs.content[0].top_logprobs] == [-0.5, -9999.0]
    beside = reply["choices"][0]["logprobs"]["reasoning_content"]
    assert "".join(token["token"] for token in beside) == " 12 + 7"
    chunks = events(streamed(CHAT, parts, **body))
    assert chunks[1]["choices"][0]["logprobs"] == {"content": [], "refusal": None, "reasoning_content": beside}
    assert len(chunks[2]["choices"][0]["logprobs"]["content"]) == len(logprobs.content)


def test_half_a_character_has_a_name_and_its_bytes() -> None:
    tokenizer = tiny_desk().prompter.tokenizer
    tokens = shown_tokens("🜚")
    assert len(tokens) > 1, "the tokenizer knows this character; take a rarer one"
    rows = whole(CHAT, (Part(0, "", "🜚", tokens, "stop", 4),), messages=MESSAGES, logprobs=True)
    content = rows["choices"][0]["logprobs"]["content"]
    assert content[0]["token"].startswith("bytes:\\xf0")
    assert bytes(byte for row in content for byte in row["bytes"]) == "🜚".encode()
    assert tokenizer.decode([tokens[0].token_id]) == "\ufffd"


def test_what_a_request_says_of_sampling() -> None:
    wanted = read(
        temperature=0, top_p=0.5, top_k=-1, min_p=0.1, max_tokens=7.0, seed=-3, stop="X", n=2, ignore_eos=True
    )
    assert wanted.asks[0].sampling == Sampling(
        temperature=0, top_p=0.5, top_k=0, min_p=0.1, max_tokens=7, seed=-3, stop=("X",), num_choices=2, ignore_end=True
    )
    assert read(max_completion_tokens=9).asks[0].sampling.max_tokens == 9
    assert read(logprobs=True).asks[0].sampling.num_top_logprobs == 0
    assert read(max_tokens=None, stop=None, temperature=None, tools=None).asks[0].sampling == Sampling()


def test_messages_may_be_in_parts_and_carry_thoughts_under_any_name() -> None:
    messages = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "1 "}, {"type": "text", "text": "+ 1"}]},
        *(
            {"role": "assistant", "content": "2", name: "one more"}
            for name in ("reasoning_content", "reasoning", "thinking")
        ),
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert read(messages=messages).asks[0].messages == (
        Message("system", "Be short."),
        Message("user", "1 + 1"),
        *[Message("assistant", "2", "one more")] * 3,
        Message("assistant", ""),
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"tools": [{"type": "function"}]}, "call no tools"),
        ({"tool_choice": "required"}, "no tools here"),
        ({"response_format": {"type": "json_object"}}, "not held to a form"),
        ({"logit_bias": {"5": 1}}, "made likelier"),
        ({"presence_penalty": 0.5}, "not punished"),
        ({"frequency_penalty": False}, "not punished"),
        ({"temperature": 101}, "less than or equal to 100"),
        ({"temperature": "1"}, "valid number"),
        ({"top_p": 0}, "greater than 0"),
        ({"n": 17}, "less than or equal to 16"),
        ({"n": True}, "valid integer"),
        ({"stop": ["x"] * 17}, "at most 16"),
        ({"stop": "x" * 257}, "at most 256"),
        ({"stop": ""}, "at least 1"),
        ({"stop": 5}, "a text or a list of texts"),
        ({"seed": 1 << 63}, "less than"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"top_logprobs": 3}, "without logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "less than or equal to 20"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens and max_completion_tokens"),
        ({"messages": []}, "at least 1"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "call no tools"),
        ({"messages": [{"role": "user"}]}, "required"),
        ({"messages": [{"role": "me", "content": "a"}]}, "must be system, developer, user or assistant"),
        ({"messages": ["a"]}, "dictionary"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "read text alone"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "half a surrogate"),
        ({"stop": "\udfff"}, "half a surrogate"),
        ({"messages": [{"role": "assistant", "reasoning": "\ud800"}]}, "half a surrogate"),
        ({"model": "\ud800"}, "half a surrogate"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(body: dict[str, Any], reason: str) -> None:
    assert reason in refusal(**body)


def test_an_error_repeats_no_half_characters() -> None:
    error = CHAT.error(400, "there is no model '\ud800'", "model_not_found")["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")
    error["message"].encode()
    assert json.loads(CHAT.stream_error(503, "it \ud800 ended", "backend_error", 7).removeprefix("data: "))


def test_parts_of_the_tests_are_whole() -> None:
    assert "".join(part.thought for part in PARTS) == THOUGHT
    assert "".join(part.answer for part in PARTS) == ANSWER
