"""The server's description: schemathesis reads it, and replies and requests are as it says."""

from typing import Any

import jsonschema_rs
import pytest

from tests.serving.apis.told import MESSAGES, shown_tokens, tiny_desk, whole
from thinkwright.serving.apis.model_lists import ollama_show, ollama_tags, ollama_version, openai_models
from thinkwright.serving.apis.openapi import describe
from thinkwright.serving.app import DIALECTS
from thinkwright.serving.ask import Part

DESCRIPTION = describe(DIALECTS, ["tiny-base"])
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2},
    "/v1/completions": {"prompt": "a", "logprobs": 2},
    "/v1/responses": {"input": "a", "include": ["message.output_text.logprobs"]},
    "/api/chat": {"messages": MESSAGES, "logprobs": True},
    "/api/generate": {"prompt": "a"},
}
PARTS = (Part(0, "a", "16", (*shown_tokens("a", is_thought=True), *shown_tokens("16")), "stop", 4, 1),)

ODD: tuple[dict[str, Any], ...] = (
    {"model": 5},
    {"tools": [{}]},
    {"top_p": 0},
    {"options": {"top_p": 0, "num_predict": -3}},
    {"options": {"num_predict": -3}},
    {"stream": "no"},
    {"seed": 1 << 63},
    {"seed": (1 << 63) - 1},
    {"top_k": -2},
    {"thinking_budget": -2},
    {"max_tokens": 0},
    {"max_output_tokens": 0},
    {"n": 17},
    {"top_logprobs": 21},
    {"stop": [""]},
    {"prompt": [-1]},
    {"prompt": [[1 << 31]]},
    {"prompt": [5, 6.0]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "assistant"}]},
    {"messages": [{"role": "tool", "content": "a"}]},
    {"think": 1},
)


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema | {"components": DESCRIPTION["components"]})


def references(part: Any) -> set[str]:
    if isinstance(part, list):
        return {found for one in part for found in references(one)}
    if not isinstance(part, dict):
        return set()
    own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
    return own | {found for one in part.values() for found in references(one)}


def test_every_reference_leads_to_a_schema() -> None:
    named = {f"#/components/schemas/{name}" for name in DESCRIPTION["components"]["schemas"]}
    assert references(DESCRIPTION) <= named


def operation(path: str, method: str = "post") -> dict[str, Any]:
    return DESCRIPTION["paths"][path][method]


def reply_schema(path: str, method: str = "post", status: str = "200") -> dict[str, Any]:
    return operation(path, method)["responses"][status]["content"]["application/json"]["schema"]


def body_schema(path: str) -> dict[str, Any]:
    return operation(path)["requestBody"]["content"]["application/json"]["schema"]


def test_schemathesis_reads_every_operation() -> None:
    import schemathesis

    found = schemathesis.openapi.from_dict(DESCRIPTION)
    operations = [result.ok() for result in found.get_all_operations()]
    assert {(one.method.upper(), one.path) for one in operations} == {
        *(("POST", dialect.path) for dialect in DIALECTS),
        ("POST", "/api/show"),
        ("POST", "/votes"),
        *(
            ("GET", path)
            for path in (
                *("/", "/page/{file}", "/health", "/metrics", "/openapi.json", "/votes"),
                *("/v1/models", "/v1/models/{name}", "/api/tags", "/api/version"),
            )
        ),
    }
    names = [one["operationId"] for path in DESCRIPTION["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.path)
def test_replies_are_as_described(dialect: Any) -> None:
    reply = whole(dialect, PARTS, **BODIES[dialect.path])
    validator(reply_schema(dialect.path)).validate(reply)
    del reply["model"]
    assert not validator(reply_schema(dialect.path)).is_valid(reply)
    error = dialect.error(404, "there is none", "model_not_found")
    validator(reply_schema(dialect.path, status="404")).validate(error)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.path)
def test_requests_are_as_described(dialect: Any) -> None:
    schema, good = validator(body_schema(dialect.path)), {"model": "tiny-base"} | BODIES[dialect.path]
    assert schema.is_valid(good)
    assert schema.is_valid(good | {"some_new_key": 1, "tools": [], "think": "low"})
    for odd in ODD:
        assert schema.is_valid(good | odd) == _is_accepted(dialect, good | odd), odd
    assert not schema.is_valid(BODIES[dialect.path])


def _is_accepted(dialect: Any, body: dict[str, Any]) -> bool:
    try:
        dialect.body.model_validate(body)
    except ValueError:
        return False
    return True


def test_lists_are_as_described() -> None:
    desks = {"tiny-base": tiny_desk()}
    assert validator(reply_schema("/v1/models", "get")).is_valid(openai_models(desks))
    assert validator(reply_schema("/api/tags", "get")).is_valid(ollama_tags(desks))
    assert validator(reply_schema("/api/version", "get")).is_valid(ollama_version(desks))
    assert validator(reply_schema("/api/show")).is_valid(ollama_show(tiny_desk()))
