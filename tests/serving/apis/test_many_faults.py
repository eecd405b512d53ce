"""A body of a million faults is refused at one of the first: each would have a report of a kilobyte."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from thinkwright.serving.apis.ollama_chat import OllamaChatBody
from thinkwright.serving.apis.openai_chat import ChatBody
from thinkwright.serving.apis.openai_completions import CompletionsBody
from thinkwright.serving.apis.response_input import ResponsesBody
from thinkwright.serving.votes import Vote

MANY = 3000
USER = {"role": "user", "content": "a"}
REPLY = {"model": "a", "answer": "x"}
VOTE = {"id": "12345678-1234-5678-1234-567812345678", "question": "q", "replies": [REPLY, REPLY], "choice": "tie"}
VOTE |= {"is_blind": True}


@pytest.mark.parametrize(
    ("body", "faulty"),
    [
        (ChatBody, {"messages": [[]] * MANY}),
        (ChatBody, {"messages": [USER] * MANY}),
        (ChatBody, {"messages": [USER | {"content": [{}] * MANY}]}),
        (ChatBody, {"messages": [USER], "stop": [1] * MANY}),
        (CompletionsBody, {"prompt": ["", *[0] * MANY]}),
        (CompletionsBody, {"prompt": ["a"] * MANY}),
        (CompletionsBody, {"prompt": [0, *[""] * MANY]}),
        (CompletionsBody, {"prompt": [[0], *[[]] * MANY]}),
        (ResponsesBody, {"input": [0] * MANY}),
        (ResponsesBody, {"input": [{"type": "reasoning", "content": [0] * MANY}]}),
        (ResponsesBody, {"input": "a", "include": [0] * MANY}),
        (ResponsesBody, {"input": "a", "metadata": {str(key): 0 for key in range(MANY)}}),
        (OllamaChatBody, {"messages": [0] * MANY}),
        (Vote, VOTE | {str(key): 0 for key in range(MANY)}),
        (Vote, VOTE | {"messages": [{}] * MANY}),
        (Vote, VOTE | {"messages": [USER | {str(key): 0 for key in range(MANY)}]}),
        (Vote, VOTE | {"replies": [REPLY | {"settings": {str(key): {} for key in range(MANY)}}] * 2}),
        (Vote, VOTE | {"replies": [REPLY | {"settings": {"a": [0] * MANY}}] * 2}),
    ],
)
def test_only_the_first_faults_are_reported(body: type[BaseModel], faulty: dict[str, Any]) -> None:
    given = faulty if body is Vote else {"model": "m"} | faulty
    with pytest.raises(ValidationError) as found:
        body.model_validate_json(json.dumps(given))
    assert found.value.error_count() < 10
