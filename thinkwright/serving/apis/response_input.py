"""What a request to OpenAI's Responses API may hold, and the conversation it comes to."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from thinkwright.serving.apis.bodies import (
    MAX_MESSAGES,
    Content,
    Count,
    NoForm,
    NoTools,
    Only,
    Role,
    SamplingBody,
    Text,
    TopLogprobs,
    one_of,
    refuse,
    text_of,
)
from thinkwright.serving.apis.switches import Switches
from thinkwright.serving.ask import Message

LOGPROBS = "message.output_text.logprobs"
MAX_INCLUDES, MAX_METADATA = 16, 16
"""OpenAI has seven values for the one, and as many keys in the other."""
_NOTHING_STORED = "nothing is stored between requests; send the whole conversation as input"


class MessageItem(BaseModel):
    """One message; ``type`` may be left out."""

    type: Literal["message"] = "message"
    role: Role
    content: Content


class ThoughtText(BaseModel):
    """A part of a thought."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: Text


class ReasoningItem(BaseModel):
    """The thought of the message after it."""

    type: Literal["reasoning"]
    content: Annotated[list[ThoughtText], Field(fail_fast=True)] | None = None


def _item_kind(value: Any) -> str | None:
    kind = value.get("type", "message") if isinstance(value, dict) else None
    return kind if kind in ("message", "reasoning") else None


_Item = Annotated[
    Annotated[MessageItem, Tag("message")] | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(
        _item_kind,
        custom_error_type="refused",
        custom_error_message="only items of type message and reasoning are read; this server's models call no tools",
    ),
]
Input = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[_Item], Field(min_length=1, max_length=2 * MAX_MESSAGES, fail_fast=True), Tag("list")],
    one_of("a text or a list of items"),
]


def _few(value: Any) -> Any:
    """Counted first: of a mapping, pydantic reports every fault."""
    if isinstance(value, dict) and len(cast("dict[Any, Any]", value)) > MAX_METADATA:
        refuse(f"more than {MAX_METADATA} keys; send fewer")
    return value


class TextSettings(BaseModel):
    """How the answer is to be written."""

    format: NoForm = None
    verbosity: Annotated[Any, Only((None, "medium"), "replies are as long as the model makes them; leave it out")] = (
        None
    )


class ResponsesBody(SamplingBody, Switches):
    """A request."""

    input: Input
    instructions: Text | None = None
    max_output_tokens: Count | None = None
    top_logprobs: TopLogprobs | None = None
    include: Annotated[list[Text], Field(max_length=MAX_INCLUDES, fail_fast=True)] | None = None
    metadata: Annotated[dict[Text, Text], Field(max_length=MAX_METADATA), BeforeValidator(_few)] | None = None
    text: TextSettings | None = None
    tools: NoTools = None
    tool_choice: Annotated[Any, Only((None, "none", "auto"), "there are no tools here to choose; leave it out")] = None
    previous_response_id: Annotated[Any, Only((None,), _NOTHING_STORED)] = None
    conversation: Annotated[Any, Only((None,), _NOTHING_STORED)] = None
    prompt: Annotated[Any, Only((None,), _NOTHING_STORED)] = None
    background: Annotated[Any, Only((None, False), "nothing is stored to be fetched later; use stream")] = None
    truncation: Annotated[
        Any, Only((None, "disabled"), "messages are not left out here; send a conversation that fits")
    ] = None

    @model_validator(mode="after")
    def _logprobs_are_wanted(self) -> Self:
        if self.top_logprobs and LOGPROBS not in (self.include or ()):
            refuse(f"top_logprobs has no effect without include: [{LOGPROBS!r}]; send both")
        return self


def conversation_of(body: ResponsesBody) -> tuple[Message, ...]:
    """The instructions, then the input; a thought goes to the assistant's message after it, or is dropped."""
    messages = [Message("system", body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        return (*messages, Message("user", body.input))
    thought = ""
    for item in body.input:
        if isinstance(item, ReasoningItem):
            thought = "".join(part.text for part in item.content or ())
            continue
        role = "system" if item.role == "developer" else item.role
        messages.append(Message(role, text_of(item.content), thought if role == "assistant" else ""))
        thought = ""
    return tuple(messages)
