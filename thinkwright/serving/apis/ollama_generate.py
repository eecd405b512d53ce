"""Ollama's generate: one question through the template, or with ``raw`` a text as it is, to be gone on with."""

from typing import Annotated, Any, Self

from pydantic import model_validator

from thinkwright.serving.apis.bodies import Flag, Only, Text, refuse
from thinkwright.serving.apis.dialect import Wanted
from thinkwright.serving.apis.ollama_common import OllamaBody, OllamaDialect, ollama_wanted
from thinkwright.serving.ask import Message


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


def _read(body: OllamaGenerateBody) -> Wanted:
    if body.raw or not body.prompt:
        return ollama_wanted(body, prompt=body.prompt)
    system = (Message("system", body.system),) if body.system else ()
    return ollama_wanted(body, messages=(*system, Message("user", body.prompt)))


def _texts(thought: str, answer: str) -> dict[str, Any]:
    return {"response": answer} | ({"thinking": thought} if thought else {})


OLLAMA_GENERATE = OllamaDialect("/api/generate", OllamaGenerateBody, _read, _texts)
