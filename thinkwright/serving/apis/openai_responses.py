"""OpenAI's Responses API: the thought as a reasoning item, the answer as a message, and the events of both.

Nothing is stored: a conversation is sent whole with every request. A thought is never summarised or encrypted; it
stands in the reasoning item's ``content``.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from thinkwright.serving.apis.bodies import sampling_of
from thinkwright.serving.apis.dialect import Choice, Told, Wanted
from thinkwright.serving.apis.framing import SSE, event, to_json, whole_characters
from thinkwright.serving.apis.openai_common import Usage, new_id, now, openai_error, split_tokens, token_rows
from thinkwright.serving.apis.response_input import LOGPROBS, ResponsesBody, conversation_of
from thinkwright.serving.apis.switches import thinking_of
from thinkwright.serving.apis.token_names import token_names
from thinkwright.serving.ask import Ask, Part, ShownToken
from thinkwright.types import FinishReason


class OpenAiResponses:
    """``Dialect``."""

    path = "/v1/responses"
    body: type[BaseModel] = ResponsesBody
    stream_type = SSE

    def read(self, body: ResponsesBody) -> Wanted:
        """Understand a valid body. Raises BadRequest for what contradicts itself."""
        num_top_logprobs = (body.top_logprobs or 0) if LOGPROBS in (body.include or ()) else None
        sampling = sampling_of(body, body.max_output_tokens, num_top_logprobs=num_top_logprobs)
        ask = Ask(sampling, conversation_of(body), thinking=thinking_of(body))
        echo = {
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
            "top_logprobs": body.top_logprobs or 0,
        }
        return Wanted(body.model, (ask,), bool(body.stream), reply_id=new_id("resp_"), created=now(), echo=echo)

    def whole(self, told: Told, choices: Sequence[Choice]) -> dict[str, Any]:
        """The reply in one piece."""
        (choice,) = choices
        thought, answer = split_tokens(choice.tokens)
        items = [_Item("thought", 0, choice.thought, thought)] if choice.thought else []
        if choice.answer or choice.end == "stop" or not items:
            items.append(_Item("answer", len(items), choice.answer, answer))
        output = [item.written(told, _status(choice.end)) for item in items]
        return _response(told, output, ended=choice)

    async def stream(self, told: Told, parts: AsyncIterator[Part]) -> AsyncIterator[str]:
        """The reply's events."""
        writer = _EventWriter(told)
        async for part in parts:
            for text in writer.events(part):
                yield text

    def error(self, status: int, message: str, code: str) -> dict[str, Any]:
        """How the API says that something went wrong."""
        return openai_error(status, message, code)

    def stream_error(self, status: int, message: str, code: str, num_sent: int) -> str:
        """The same in the midst of a stream, numbered on."""
        said = {"type": "error", "code": code, "message": whole_characters(message), "param": None}
        return event(said | {"sequence_number": num_sent}, "error")


_Status = Literal["in_progress", "completed", "incomplete"]
_Kind = Literal["thought", "answer"]


def _status(end: FinishReason) -> _Status:
    return "completed" if end == "stop" else "incomplete"


class _Item:
    """One item of the output."""

    def __init__(self, kind: _Kind, index: int, text: str = "", tokens: Sequence[ShownToken] = ()) -> None:
        self.kind: _Kind = kind
        self.index = index
        self.item_id = new_id("rs_" if kind == "thought" else "msg_")
        self.place = {"item_id": self.item_id, "output_index": index, "content_index": 0}
        self.texts, self.tokens = [text], list(tokens)

    def part(self, told: Told) -> dict[str, Any]:
        """Its one part, as far as it has come."""
        text = "".join(self.texts)
        if self.kind == "thought":
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": _logprobs(told, self.tokens)}

    def written(self, told: Told, status: _Status) -> dict[str, Any]:
        """The item, as far as it has come; one in progress is sent without its part."""
        content = [] if status == "in_progress" else [self.part(told)]
        common = {"id": self.item_id, "status": status, "content": content}
        if self.kind == "thought":
            return common | {"type": "reasoning", "summary": []}
        return common | {"type": "message", "role": "assistant"}


def _logprobs(told: Told, tokens: Sequence[ShownToken]) -> list[dict[str, Any]]:
    if not tokens:
        return []
    return token_rows(token_names(told.desk.prompter.tokenizer), tokens)


def _response(told: Told, output: list[dict[str, Any]], ended: Part | Choice | None = None) -> dict[str, Any]:
    """The response as far as it has come."""
    settings, wanted = told.prepared[0].settings, told.wanted
    usage = Usage(told)
    status: _Status = "in_progress"
    if ended is not None and ended.end is not None:
        usage.add(ended)
        status = _status(ended.end)
    return {
        "id": wanted.reply_id,
        "object": "response",
        "created_at": wanted.created,
        "completed_at": now() if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": told.desk.name,
        "output": output,
        "usage": None if ended is None else usage.responses(),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "text": {"format": {"type": "text"}},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "truncation": "disabled",
        "background": False,
        "store": False,
        **wanted.echo,
    }


class _EventWriter:
    """The events of a response, numbered; an item opens with its first text and closes when the other kind comes."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._open: _Item | None = None
        self._delta_head = ""

    def events(self, part: Part) -> Iterator[str]:
        """What is new; the first part brings the beginning, the last one the end."""
        if self._number == 0:
            started = _response(self._told, [])
            yield self._event("response.created", {"response": started})
            yield self._event("response.in_progress", {"response": started})
        thought, answer = split_tokens(part.tokens) if part.tokens else ((), ())
        if part.thought:
            yield from self._say("thought", part.thought, thought)
        if part.answer or answer:
            yield from self._say("answer", part.answer, answer)
        if part.end is not None:
            yield from self._finish(part)

    def _say(self, kind: _Kind, text: str, tokens: Sequence[ShownToken]) -> Iterator[str]:
        item = self._open
        if item is None or item.kind != kind:
            yield from self._close("completed")
            item = self._open = _Item(kind, len(self._output))
            yield from self._begin(item)
        item.texts.append(text)
        item.tokens += tokens
        if not text and not tokens:
            return
        logprobs = "" if kind == "thought" else f',"logprobs":{to_json(_logprobs(self._told, tokens))}'
        yield f'{self._delta_head}{to_json(text)}{logprobs},"sequence_number":{self._number}}}\n\n'
        self._number += 1

    def _begin(self, item: _Item) -> Iterator[str]:
        written = item.written(self._told, "in_progress")
        yield self._event("response.output_item.added", {"output_index": item.index, "item": written})
        yield self._event("response.content_part.added", {**item.place, "part": item.part(self._told)})
        name = f"response.{_TEXTS[item.kind]}.delta"
        # Written once: a stream has a delta for each token.
        self._delta_head = f'event: {name}\ndata: {to_json({"type": name, **item.place})[:-1]},"delta":'

    def _close(self, status: _Status) -> Iterator[str]:
        item, self._open = self._open, None
        if item is None:
            return
        part, written = item.part(self._told), item.written(self._told, status)
        done = {**item.place, "text": part["text"]}
        if item.kind == "answer":
            done["logprobs"] = part["logprobs"]
        yield self._event(f"response.{_TEXTS[item.kind]}.done", done)
        yield self._event("response.content_part.done", {**item.place, "part": part})
        yield self._event("response.output_item.done", {"output_index": item.index, "item": written})
        self._output.append(written)

    def _finish(self, last: Part) -> Iterator[str]:
        assert last.end is not None
        has_thought_alone = self._open is not None and self._open.kind == "thought"
        if self._open is None or (has_thought_alone and last.end == "stop"):
            yield from self._say("answer", "", ())  # a reply that was finished has a message, if an empty one
        yield from self._close(_status(last.end))
        response = _response(self._told, self._output, ended=last)
        yield self._event(f"response.{response['status']}", {"response": response})

    def _event(self, name: str, value: dict[str, Any]) -> str:
        text = event({"type": name, **value, "sequence_number": self._number}, name)
        self._number += 1
        return text


_TEXTS = {"thought": "reasoning_text", "answer": "output_text"}
