"""The Responses API: what requests mean, the events' order, and that OpenAI's own types read them."""

from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

from tests.serving.apis.told import events, shown_tokens, streamed, told_of, whole
from thinkwright.serving.apis.openai_responses import OpenAiResponses
from thinkwright.serving.ask import BadRequest, Message, Part

RESPONSES = OpenAiResponses()
THOUGHT, ANSWER = "12 + 7 = 19, 19 - 3 = 16.", "一共 16."
CUT = (Part(0, thought="12 + 7"), Part(0, end="length", num_tokens=5, num_thinking_tokens=5))
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def test_a_reply_is_a_reasoning_item_and_a_message() -> None:
    body = {"input": "12?", "temperature": 0.5, "instructions": "Be short.", "metadata": {"a": "b"}}
    reply = Response.model_validate(whole(RESPONSES, **body), strict=True)
    thought, message = reply.output
    assert thought.type == "reasoning"
    assert [part.text for part in thought.content or ()] == [THOUGHT]
    assert message.type == "message"
    assert reply.output_text == ANSWER
    assert (reply.status, reply.incomplete_details, reply.temperature) == ("completed", None, 0.5)
    assert (reply.instructions, reply.metadata) == ("Be short.", {"a": "b"})
    assert reply.usage is not None
    assert (reply.usage.output_tokens, reply.usage.output_tokens_details.reasoning_tokens) == (21, 14)


def test_a_reply_that_ends_in_its_thought_is_incomplete_and_has_no_message() -> None:
    reply = Response.model_validate(whole(RESPONSES, CUT, input="12?"), strict=True)
    assert [item.type for item in reply.output] == ["reasoning"]
    assert (reply.status, reply.output_text) == ("incomplete", "")
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    last = events(streamed(RESPONSES, CUT, input="12?"))[-1]
    assert last["type"] == "response.incomplete"
    assert [item["type"] for item in last["response"]["output"]] == ["reasoning"]
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_events_are_openais_in_openais_order() -> None:
    text = streamed(RESPONSES, input="12?")
    told = events(text)
    for one in told:
        EVENT.validate_python(one, strict=True)
    assert [one["type"].removeprefix("response.") for one in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names == [one["type"] for one in told]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    deltas = "".join(one["delta"] for one in told if one["type"] == "response.output_text.delta")
    final = Response.model_validate(told[-1]["response"], strict=True)
    assert deltas == final.output_text == ANSWER
    assert told[6]["text"] == THOUGHT
    assert final.output[0].id == told[2]["item"]["id"] == told[4]["item_id"]


def test_an_empty_answer_is_an_empty_message() -> None:
    parts = (Part(0, thought="so"), Part(0, end="stop", num_tokens=3, num_thinking_tokens=2))
    for reply in (whole(RESPONSES, parts, input="a"), events(streamed(RESPONSES, parts, input="a"))[-1]["response"]):
        assert [item["type"] for item in reply["output"]] == ["reasoning", "message"]
        assert reply["output"][1]["content"][0]["text"] == ""
    nothing = (Part(0, end="length", num_tokens=1),)
    for reply in (
        whole(RESPONSES, nothing, input="a"),
        events(streamed(RESPONSES, nothing, input="a"))[-1]["response"],
    ):
        assert [item["type"] for item in reply["output"]] == ["message"]


def test_an_answer_before_the_thought_is_a_message_of_its_own() -> None:
    parts = (Part(0, answer="a"), Part(0, thought="b"), Part(0, answer="c", end="stop", num_tokens=3))
    told = events(streamed(RESPONSES, parts, input="a"))
    output = told[-1]["response"]["output"]
    assert [item["content"][0]["text"] for item in output] == ["a", "b", "c"]
    assert len({item["id"] for item in output}) == 3
    for one in told:
        EVENT.validate_python(one, strict=True)


def test_input_may_be_a_conversation_with_earlier_thoughts() -> None:
    earlier = whole(RESPONSES, input="12?")["output"]
    items = [
        {"role": "developer", "content": "Be short."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "12?"}]},
        *earlier,
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "lost"}], "summary": []},
        {"role": "user", "content": "13?"},
    ]
    assert told_of(RESPONSES, input=items, instructions="Think.").wanted.asks[0].messages == (
        Message("system", "Think."),
        Message("system", "Be short."),
        Message("user", "12?"),
        Message("assistant", ANSWER, THOUGHT),
        Message("user", "13?"),
    )


def test_log_probabilities_are_of_the_answer() -> None:
    parts = (Part(0, "a", "16", (*shown_tokens("a", is_thought=True), *shown_tokens("16")), "stop", 4, 1),)
    body = {"input": "a", "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    rows = whole(RESPONSES, parts, **body)["output"][1]["content"][0]["logprobs"]
    assert "".join(row["token"] for row in rows) == "16"
    told = events(streamed(RESPONSES, parts, **body))
    assert [one["logprobs"] for one in told if one["type"] == "response.output_text.delta"] == [rows]
    assert [one["logprobs"] for one in told if one["type"] == "response.output_text.done"] == [rows]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"previous_response_id": "resp_1"}, "nothing is stored"),
        ({"conversation": "conv_1"}, "nothing is stored"),
        ({"background": True}, "nothing is stored"),
        ({"truncation": "auto"}, "not left out"),
        ({"tools": [{"type": "web_search"}]}, "call no tools"),
        ({"text": {"format": {"type": "json_object"}}}, "not held to a form"),
        ({"input": []}, "at least 1"),
        ({"input": None}, "a text or a list of items"),
        ({"input": [{"type": "function_call_output", "output": "4"}]}, "only items of type message"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "read text alone"),
        ({"input": [{"role": "user"}]}, "required"),
        ({"input": "\ud800"}, "half a surrogate"),
        ({"metadata": {"a": "\ud800"}}, "half a surrogate"),
        ({"max_output_tokens": 0}, "greater than or equal to 1"),
        ({"top_logprobs": 2}, "without include"),
        ({"reasoning": {"effort": "much"}}, "'minimal'"),
        ({"reasoning": {"effort": "low"}, "think": False}, "reasoning.effort"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(body: dict[str, Any], reason: str) -> None:
    with pytest.raises((ValidationError, BadRequest)) as found:
        told_of(RESPONSES, **{"input": "a"} | body)
    error = found.value
    assert reason in (error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error))


def test_an_error_in_a_stream_is_an_event() -> None:
    (error,) = events(RESPONSES.stream_error(503, "it ended", "backend_error", 7))
    assert EVENT.validate_python(error, strict=True).message == "it ended"
