"""Ollama's chat, with the thought in ``message.thinking``."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from thinkwright.serving.apis.bodies import MAX_MESSAGES, NoTools, Only, Role, Text
from thinkwright.serving.apis.dialect import Choice, Told, Wanted
from thinkwright.serving.apis.framing import NDJSON, line
from thinkwright.serving.apis.ollama_common import OllamaBody, ollama_error, ollama_stream, ollama_wanted, ollama_whole
from thinkwright.serving.ask import Message, Part


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


class OllamaChat:
    """``Dialect``."""

    path = "/api/chat"
    body: type[BaseModel] = OllamaChatBody
    stream_type = NDJSON

    def read(self, body: OllamaChatBody) -> Wanted:
        """Understand a valid body. Raises BadRequest for what contradicts itself."""
        return ollama_wanted(body, messages=tuple(map(_message, body.messages)))

    def whole(self, told: Told, choices: Sequence[Choice]) -> dict[str, Any]:
        """The reply in one piece."""
        return ollama_whole(told, choices, _texts)

    def stream(self, told: Told, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """The reply line by line."""
        return ollama_stream(told, parts, _texts)

    def error(self, status: int, message: str, code: str) -> dict[str, Any]:
        """How the API says that something went wrong."""
        return ollama_error(message)

    def stream_error(self, status: int, message: str, code: str, num_sent: int) -> str:
        """The same in the midst of a stream."""
        return line(ollama_error(message))


def _message(message: OllamaMessage) -> Message:
    role = "system" if message.role == "developer" else message.role
    return Message(role, message.content, message.thinking or "")


def _texts(thought: str, answer: str) -> dict[str, Any]:
    thinking = {"thinking": thought} if thought else {}
    return {"message": {"role": "assistant", "content": answer} | thinking}
