"""Ollama's generate: one question through the template, or with ``raw`` a text as it is, to be gone on with."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, model_validator

from thinkwright.serving.apis.bodies import Flag, Only, Text, refuse
from thinkwright.serving.apis.dialect import Choice, Told, Wanted
from thinkwright.serving.apis.framing import NDJSON, line
from thinkwright.serving.apis.ollama_common import OllamaBody, ollama_error, ollama_stream, ollama_wanted, ollama_whole
from thinkwright.serving.ask import Message, Part


class OllamaGenerateBody(OllamaBody):
    """A request."""

    prompt: Text = ""
    system: Text | None = None
    raw: Flag | None = None
    suffix: Annotated[Any, Only((None, ""), "texts are gone on with, not filled in; leave it out")] = None
    template: Annotated[Any, Only((None, ""), "a model is asked as it was in training; use raw for other forms")] = None
    context: Annotated[Any, Only((None, []), "nothing is kept between requests; send messages to /api/chat")] = None

    @model_validator(mode="after")
    def _system_has_a_place(self) -> Self:
        if self.raw and self.system:
            refuse("system has no effect with raw: true; write it into the prompt")
        return self


class OllamaGenerate:
    """``Dialect``."""

    path = "/api/generate"
    body: type[BaseModel] = OllamaGenerateBody
    stream_type = NDJSON

    def read(self, body: OllamaGenerateBody) -> Wanted:
        """Understand a valid body. Raises BadRequest for what contradicts itself."""
        if body.raw or not body.prompt:
            return ollama_wanted(body, prompt=body.prompt)
        system = (Message("system", body.system),) if body.system else ()
        return ollama_wanted(body, messages=(*system, Message("user", body.prompt)))

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


def _texts(thought: str, answer: str) -> dict[str, Any]:
    return {"response": answer} | ({"thinking": thought} if thought else {})
