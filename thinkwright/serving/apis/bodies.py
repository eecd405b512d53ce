"""What request bodies of several APIs have in common: their types, and how a wrong value is refused.

Unknown keys are let pass, for clients send many that change nothing. A value that cannot be is refused with what is
allowed, and so is a known key whose effect this server does not have: it would change the reply without a word.

Texts are of whole characters (``Text``): half a surrogate pair, which JSON can write, is refused here, for no
tokenizer takes it.

Every list ends at its first fault (``fail_fast``), and those of parts that are read one by one have a length: a body of
a few megabytes could hold a million faults otherwise, each with a report of its own.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from thinkwright.rollout.live_batch import MAX_TEMPERATURE
from thinkwright.serving.ask import Sampling

MAX_STOPS, MAX_STOP_CHARACTERS = 16, 256
MAX_TOP_LOGPROBS = 20
MAX_CHOICES, MAX_MESSAGES = 16, 1024


def refuse(reason: str) -> NoReturn:
    """Raises what pydantic reports with the place, and with nothing but the reason."""
    raise PydanticCustomError("refused", "{reason}", {"reason": reason})


@dataclass(frozen=True)
class Only:
    """Type of a key whose effect this server does not have: only values that change nothing are let pass."""

    values: tuple[Any, ...]
    reason: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Called by pydantic."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Called by pydantic."""
        return {"enum": list(self.values)}

    def _checked(self, value: Any) -> Any:
        # To Python, False is 0; to JSON it is not.
        if not any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in self.values):
            refuse(self.reason)
        return value


def _whole_number(value: Any) -> Any:
    """JSON does not tell 5.0 from 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _whole_characters(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        place = f"character {error.start} is half a surrogate pair"
        refuse(f"{place}, which is no Unicode text; send the whole character")
    return text


Flag = Annotated[bool, Field(strict=True)]
WHOLE = BeforeValidator(_whole_number)
"""Stands behind an integer's bounds, which the description would lack otherwise."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, AfterValidator(_whole_characters)]
Count = Annotated[int, Field(strict=True, ge=1), WHOLE]
Choices = Annotated[int, Field(strict=True, ge=1, le=MAX_CHOICES), WHOLE]
TopLogprobs = Annotated[int, Field(strict=True, ge=0, le=MAX_TOP_LOGPROBS), WHOLE]
Temperature = Annotated[Number, Field(ge=0, le=MAX_TEMPERATURE)]
TopP = Annotated[Number, Field(gt=0, le=1)]
TopK = Annotated[int, Field(strict=True, ge=-1, description="-1 or 0: no limit."), WHOLE]
MinP = Annotated[Number, Field(ge=0, le=1)]
Seed = Annotated[int, Field(strict=True, ge=-(1 << 63), lt=1 << 63), WHOLE]


def one_of(expected: str) -> Discriminator:
    """Tells texts, lists and flags apart by what they are, so that an error speaks of the right one."""
    return Discriminator(_kind, custom_error_type="refused", custom_error_message=f"must be {expected}")


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "flag"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else None


_Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
Stop = Annotated[
    Annotated[_Stop, Tag("text")] | Annotated[list[_Stop], Field(max_length=MAX_STOPS, fail_fast=True), Tag("list")],
    one_of("a text or a list of texts"),
]


def _text_type(value: Any) -> Any:
    if isinstance(value, str) and value not in ("text", "input_text", "output_text"):
        refuse("models of this server read text alone; send parts of type text")
    return value


class TextPart(BaseModel):
    """A part of a message."""

    type: Annotated[Literal["text", "input_text", "output_text"], BeforeValidator(_text_type)]
    text: Text


Content = Annotated[
    Annotated[Text, Tag("text")] | Annotated[list[TextPart], Field(fail_fast=True), Tag("list")],
    one_of("a text or a list of parts"),
]


def text_of(content: str | list[TextPart] | None) -> str:
    """The text of a message."""
    return content if isinstance(content, str) else "".join(part.text for part in content or ())


def _known_role(value: Any) -> Any:
    if value in ("tool", "function"):
        refuse("this server's models call no tools; send messages of system, developer, user or assistant")
    if value not in ("system", "developer", "user", "assistant"):
        refuse("must be system, developer, user or assistant")
    return value


ROLE = BeforeValidator(_known_role)
Role = Annotated[Literal["system", "developer", "user", "assistant"], ROLE]


class Body(BaseModel):
    """Of any request."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model: Annotated[Text, Field(min_length=1)]


_NO_TOOLS = "this server's models call no tools; leave it out"
NO_FORM = "replies are not held to a form here; leave it out, and say in the prompt what is wanted"
NO_PENALTY = "tokens are not punished here for having come before; leave it out"
NoTools = Annotated[Any, Only((None, []), _NO_TOOLS)]
NoGrammar = Annotated[Any, Only((None,), NO_FORM)]
NoPenalty = Annotated[Any, Only((None, 0), NO_PENALTY)]


NoForm = Annotated[Any, Only((None, {"type": "text"}), NO_FORM)]


class SamplingBody(Body):
    """Of the OpenAI APIs: what they say of sampling, with vLLM's names for what OpenAI's do not have."""

    stream: Flag | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    ignore_eos: Flag | None = None
    logit_bias: Annotated[Any, Only((None, {}), "single tokens are not made likelier here; leave it out")] = None
    presence_penalty: NoPenalty = None
    frequency_penalty: NoPenalty = None
    repetition_penalty: Annotated[Any, Only((None, 1), NO_PENALTY)] = None
    min_tokens: Annotated[Any, Only((None, 0), "a reply ends where the model ends it; leave it out")] = None
    stop_token_ids: Annotated[Any, Only((None, []), "replies are stopped by texts; use stop")] = None
    guided_json: NoGrammar = None
    guided_regex: NoGrammar = None
    guided_choice: NoGrammar = None
    guided_grammar: NoGrammar = None
    structured_outputs: NoGrammar = None


class StreamOptions(BaseModel):
    """What a stream holds beside the reply."""

    include_usage: Flag | None = None


def sampling_of(
    body: SamplingBody, max_tokens: int | None, *, num_choices: int = 1, num_top_logprobs: int | None = None
) -> Sampling:
    """What a body says of sampling."""
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=no_limit_is_zero(body.top_k),
        min_p=body.min_p,
        max_tokens=max_tokens,
        seed=body.seed,
        stop=stops_of(body.stop),
        num_choices=num_choices,
        num_top_logprobs=num_top_logprobs,
        ignore_end=bool(body.ignore_eos),
    )


def no_limit_is_zero(top_k: int | None) -> int | None:
    """vLLM writes no limit as -1."""
    return None if top_k is None else max(top_k, 0)


def stops_of(stop: str | list[str] | None) -> tuple[str, ...]:
    """One text or several."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
