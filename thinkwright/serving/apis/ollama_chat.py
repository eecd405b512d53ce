"""Ollama's chat, with the thought in ``message.thinking``."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from thinkwright.serving.apis.bodies import MAX_MESSAGES, NoTools, Only, Role, Text
from thinkwright.serving.apis.dialect import Wanted
from thinkwright.serving.apis.ollama_common import OllamaBody, OllamaDialect, ollama_wanted
from thinkwright.serving.ask import Message


class OllamaMessage(BaseModel):
    """One message of a conversation."""

    role: Role
    content: Text = ""
    thinking: Text | None = None
    images: Annotated[Any, Only((None, []), "models of this server read text alone; leave it out")] = None
    tool_calls: NoTools = None


class OllamaChatBody(OllamaBody):
    """A request."""

    messages: Annotated[list[OllamaMessage], Field(max_length=MAX_MESSAGES, fail_fast=True)] = Field(
        default_factory=list[OllamaMessage]
    )


def _read(body: OllamaChatBody) -> Wanted:
    return ollama_wanted(body, messages=tuple(map(_message, body.messages)))


def _message(message: OllamaMessage) -> Message:
    role = "system" if message.role == "developer" else message.role
    return Message(role, message.content, message.thinking or "")


def _texts(thought: str, answer: str) -> dict[str, Any]:
    thinking = {"thinking": thought} if thought else {}
    return {"message": {"role": "assistant", "content": answer} | thinking}


OLLAMA_CHAT = OllamaDialect("/api/chat", OllamaChatBody, _read, _texts)
