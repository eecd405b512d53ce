"""The server's description of itself (``GET /openapi.json``), made of the types that requests are checked by."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from thinkwright.serving.apis.dialect import Dialect
from thinkwright.serving.apis.reply_schemas import REPLIES, TEXT, Schema, ref
from thinkwright.serving.votes import Vote

_REPLY_OF = {
    "/v1/chat/completions": "ChatReply",
    "/v1/completions": "CompletionsReply",
    "/v1/responses": "ResponsesReply",
    "/api/chat": "OllamaChatReply",
    "/api/generate": "OllamaGenerateReply",
}
_ERRORS = {
    400: "It cannot be understood or done; the message says why and what to send instead.",
    401: "No key, or a wrong one.",
    403: "Asked by a page of another site.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is not of the type that is asked for.",
    421: "Asked by another name than this machine's.",
    429: "The queue is full; Retry-After says when to try again.",
    504: "The reply took longer than the server lets any (--deadline).",
    503: "What generates has failed; the same request may succeed later.",
}
_ALWAYS = (401, 403, 413, 421)


def describe(dialects: Sequence[Dialect], models: Sequence[str] = ()) -> dict[str, Any]:
    """OpenAPI 3.1. ``models``: names that are served, given as examples."""
    bodies: list[type[BaseModel]] = [*(dialect.body for dialect in dialects), Vote]
    _, found = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Schema] = found["$defs"]
    for dialect in dialects:
        schemas[dialect.body.__name__]["properties"]["model"]["examples"] = list(models)
    paths = {dialect.path: {"post": _of_dialect(dialect)} for dialect in dialects}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thinkwright", "version": version("thinkwright")},
        "paths": paths | _model_paths() | _other_paths(),
        "components": {
            "schemas": schemas | REPLIES,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _of_dialect(dialect: Dialect) -> dict[str, Any]:
    is_ollama = dialect.path.startswith("/api/")
    reply = _json(ref(_REPLY_OF[dialect.path]))
    reply |= {dialect.stream_type: {"schema": TEXT}}
    return {
        "operationId": _REPLY_OF[dialect.path].removesuffix("Reply"),
        "requestBody": _body(ref(dialect.body.__name__)),
        "responses": {"200": {"description": "The reply, whole or as a stream.", "content": reply}}
        | _errors((400, 404, 408, 429, 503, 504), is_ollama=is_ollama),
    }


def _model_paths() -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    asked = {"type": "object", "properties": {"model": {"type": "string", "minLength": 1}}, "required": ["model"]}
    return {
        "/v1/models": {"get": _get("Models", "All models.")},
        "/v1/models/{name}": {"get": {"parameters": [name], **_get("Model", "One model.", 404)}},
        "/api/tags": {"get": _get("OllamaTags", "All models, for Ollama's clients.")},
        "/api/version": {"get": _get("OllamaVersion", "The version of this server.")},
        "/api/show": {
            "post": {
                "operationId": "OllamaShow",
                "requestBody": _body(asked),
                "responses": _reply("OllamaShow", "One model.") | _errors((400, 404), is_ollama=True),
            }
        },
    }


def _other_paths() -> dict[str, Any]:
    file = {"name": "file", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    not_found = {"404": {"description": "There is no such file.", "content": {"text/plain": {"schema": TEXT}}}}
    down = _reply("Health", "A model cannot answer now.", 503)
    votes = {
        "get": _get("VoteCounts", "How often each model won against each other one.", 503),
        "post": {
            "operationId": "Vote",
            "requestBody": _body(ref("Vote")),
            "responses": _reply("VoteKept", "It was there already.")
            | _reply("VoteKept", "It is kept.", 201)
            | _errors((400, 415, 503)),
        },
    }
    page = _file("The chat page.", "text/html")
    return {
        "/": {"get": {"operationId": "Page", "responses": page | _errors(())}},
        "/page/{file}": {
            "get": {
                "operationId": "PageFile",
                "parameters": [file],
                "responses": _file("A file of the chat page.", "*/*") | not_found | _errors(()),
            }
        },
        "/health": {"get": {"operationId": "Health", "responses": _reply("Health", "Well.") | down | _errors(())}},
        "/metrics": {
            "get": {
                "operationId": "Metrics",
                "responses": _file("For Prometheus.", "text/plain") | _errors(()),
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "OpenApi",
                "responses": {"200": {"description": "This description.", "content": _json({"type": "object"})}}
                | _errors(()),
            }
        },
        "/votes": votes,
    }


def _get(name: str, description: str, *errors: int) -> dict[str, Any]:
    return {"operationId": name, "responses": _reply(name, description) | _errors(errors)}


def _reply(name: str, description: str, status: int = 200) -> dict[str, Any]:
    return {str(status): {"description": description, "content": _json(ref(name))}}


def _errors(statuses: Sequence[int], *, is_ollama: bool = False) -> dict[str, Any]:
    """Those of a route, and those that every route has."""
    content = _json(ref("OllamaError" if is_ollama else "OpenAiError"))
    return {
        str(status): {"description": _ERRORS[status], "content": content} for status in sorted({*statuses, *_ALWAYS})
    }


def _body(schema: Schema) -> dict[str, Any]:
    return {"required": True, "content": _json(schema)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _file(description: str, media_type: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": {media_type: {"schema": TEXT}}}}
