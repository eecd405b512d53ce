"""JSON schemas of what the server answers, for its description (``openapi.py``)."""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
END: Schema = {"enum": ["stop", "length"]}


def ref(name: str) -> Schema:
    """A schema that is described elsewhere."""
    return {"$ref": f"#/components/schemas/{name}"}


def fixed(value: Any) -> Schema:
    """This value alone."""
    return {"const": value}


def list_of(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def maybe(schema: Schema) -> Schema:
    """Or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object; further keys may come."""
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


_THOUGHT = {"reasoning_content": TEXT, "reasoning": TEXT}
_TOKEN = {"token": TEXT, "logprob": NUMBER, "bytes": list_of({"type": "integer", "minimum": 0, "maximum": 255})}
_OLLAMA_END = {
    "done_reason": END,
    **{f"{name}_duration": COUNT for name in ("total", "load", "prompt_eval", "eval")},
    "prompt_eval_count": COUNT,
    "eval_count": COUNT,
}
_OLLAMA_HEAD = {"model": TEXT, "created_at": {"type": "string", "format": "date-time"}, "done": FLAG}
_DETAILS = record(
    {
        **dict.fromkeys(("parent_model", "format", "family", "parameter_size", "quantization_level"), TEXT),
        "families": list_of(TEXT),
    }
)


def _choices(row: dict[str, Schema]) -> Schema:
    return list_of(record({"index": COUNT, **row, "finish_reason": END}))


def _reply(kind: str, choices: Schema) -> Schema:
    head = {"id": TEXT, "object": fixed(kind), "created": COUNT, "model": TEXT}
    return record({**head, "choices": choices, "usage": ref("Usage")})


REPLIES: dict[str, Schema] = {
    "OpenAiError": record({"error": record({"message": TEXT, "type": TEXT, "code": maybe(TEXT)})}),
    "OllamaError": record({"error": {"anyOf": [TEXT, record({"message": TEXT})]}}),
    "Usage": record(
        {
            **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), COUNT),
            "completion_tokens_details": record({"reasoning_tokens": COUNT}),
        }
    ),
    "TokenLogprob": record({**_TOKEN, "top_logprobs": list_of(record(_TOKEN))}),
    "ChatReply": _reply(
        "chat.completion",
        _choices(
            {
                "message": record({"role": fixed("assistant"), "content": TEXT}, _THOUGHT),
                "logprobs": maybe(
                    record(
                        {"content": list_of(ref("TokenLogprob"))},
                        {"reasoning_content": list_of(ref("TokenLogprob")), "refusal": {"type": "null"}},
                    )
                ),
            }
        ),
    ),
    "CompletionsReply": _reply(
        "text_completion",
        _choices(
            {
                "text": TEXT,
                "logprobs": maybe(
                    record(
                        {
                            "tokens": list_of(TEXT),
                            "token_logprobs": list_of(NUMBER),
                            "top_logprobs": list_of({"type": "object", "additionalProperties": NUMBER}),
                            "text_offset": list_of(COUNT),
                        }
                    )
                ),
            }
        ),
    ),
    "ReasoningOutput": record(
        {
            "type": fixed("reasoning"),
            "id": TEXT,
            "status": {"enum": ["completed", "incomplete"]},
            "summary": list_of({"type": "object"}),
            "content": list_of(record({"type": fixed("reasoning_text"), "text": TEXT})),
        }
    ),
    "MessageOutput": record(
        {
            "type": fixed("message"),
            "id": TEXT,
            "status": {"enum": ["completed", "incomplete"]},
            "role": fixed("assistant"),
            "content": list_of(
                record(
                    {
                        "type": fixed("output_text"),
                        "text": TEXT,
                        "annotations": list_of({"type": "object"}),
                        "logprobs": list_of(ref("TokenLogprob")),
                    }
                )
            ),
        }
    ),
    "ResponsesReply": record(
        {
            "id": TEXT,
            "object": fixed("response"),
            "created_at": COUNT,
            "status": {"enum": ["completed", "incomplete"]},
            "incomplete_details": maybe(record({"reason": fixed("max_output_tokens")})),
            "model": TEXT,
            "output": list_of({"oneOf": [ref("ReasoningOutput"), ref("MessageOutput")]}),
            "usage": record(
                {
                    **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), COUNT),
                    "output_tokens_details": record({"reasoning_tokens": COUNT}),
                }
            ),
        }
    ),
    "OllamaChatReply": record(
        {
            **_OLLAMA_HEAD,
            "message": record({"role": fixed("assistant"), "content": TEXT}, {"thinking": TEXT}),
            **_OLLAMA_END,
        },
        {"logprobs": list_of(ref("TokenLogprob"))},
    ),
    "OllamaGenerateReply": record(
        {**_OLLAMA_HEAD, "response": TEXT, **_OLLAMA_END},
        {"thinking": TEXT, "logprobs": list_of(ref("TokenLogprob"))},
    ),
    "Model": record({"id": TEXT, "object": fixed("model"), "created": COUNT, "owned_by": TEXT, "max_model_len": COUNT}),
    "Models": record({"object": fixed("list"), "data": list_of(ref("Model"))}),
    "OllamaTags": record(
        {
            "models": list_of(
                record(
                    {**dict.fromkeys(("name", "model", "modified_at", "digest"), TEXT), "size": COUNT}
                    | {"details": _DETAILS}
                )
            )
        }
    ),
    "OllamaShow": record(
        {
            **dict.fromkeys(("modelfile", "parameters", "template", "modified_at"), TEXT),
            "details": _DETAILS,
            "model_info": {"type": "object"},
            "capabilities": list_of({"enum": ["completion", "thinking"]}),
        }
    ),
    "OllamaVersion": record({"version": TEXT}),
    "Health": record(
        {"status": {"enum": ["ok", "down"]}},
        {
            "models": {
                "type": "object",
                "additionalProperties": record(
                    {"num_running": COUNT, "num_waiting": COUNT, "is_up": FLAG, "version": TEXT}
                ),
            }
        },
    ),
    "VoteKept": record({"id": {"type": "string", "format": "uuid"}, "is_new": FLAG}),
    "VoteCounts": record(
        {
            "num_votes": COUNT,
            "pairs": list_of(
                record({"models": list_of(TEXT), "wins": list_of(COUNT), "ties": COUNT, "neither": COUNT})
            ),
        }
    ),
}
