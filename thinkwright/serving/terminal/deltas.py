"""Tells thought and answer apart in the deltas of any server's chat stream.

Servers agree on the frame and on nothing else: the thought comes in a field of its own, whose name differs, or in the
content between tags, which the server's template may have begun already.
"""

from dataclasses import dataclass
from typing import Any, cast

from thinkwright.characters import HALF_CHARACTER
from thinkwright.chat.thought_splitter import Kind, Said, ThoughtSplitter

# Who sends the thought in which field of a delta: reasoning_content: DeepSeek, SGLang, llama.cpp, transformers, ours;
# reasoning: vLLM, Ollama, OpenRouter, ours; thinking: proxies of Ollama's own API.
_FIELDS = ("reasoning_content", "reasoning", "thinking")
# The first is what templates begin a thought with (R1, Qwen), so its end may stand alone.
TAG_PAIRS = tuple((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "reason", "reasoning", "thought"))


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of a reply."""

    kind: Kind
    text: str
    was_thought: bool = False
    """What was given as the answer before this was thought: its end came, and had no beginning."""


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counted them; None: it did not say."""

    prompt: int | None = None
    completion: int | None = None
    """Of thought and answer together."""
    thought: int | None = None


class DeltaReader:
    """One reply. Feed it deltas, then ``finish``."""

    def __init__(self) -> None:
        self._splitter = ThoughtSplitter(opens_thought=False, pairs=TAG_PAIRS, is_prompt_known=False)
        self._has_field = self._has_said_answer = self._is_told = False

    def feed(self, delta: dict[str, Any]) -> list[Piece]:
        """What can be told by now."""
        thought, content = _thought_of(delta), _content_of(delta)
        found: list[Piece] = []
        if thought and not self._has_field:
            # A server that has a field for it leaves no tags in the content: what looks like one is text.
            self._has_field = True
            found += self._told(self._splitter.finish())
            self._splitter = ThoughtSplitter(opens_thought=False, has_thought=False)
        if thought:
            found.append(Piece("thought", thought))
        return found + self._told(self._splitter.feed(content))

    def finish(self) -> list[Piece]:
        """The rest."""
        return self._told(self._splitter.finish())

    def _told(self, said: Said) -> list[Piece]:
        found = [Piece(kind, text) for kind, text in said]
        if self._splitter.was_thought and not self._is_told:
            self._is_told = True
            if self._has_said_answer:
                found.insert(0, Piece("thought", "", was_thought=True))
        self._has_said_answer |= any(piece.kind == "answer" for piece in found)
        return found


def usage_of(chunk: dict[str, Any]) -> Usage | None:
    """The counts of a chunk that has some."""
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return None
    counts = cast("dict[str, Any]", usage)
    details = counts.get("completion_tokens_details")
    of_thought = cast("dict[str, Any]", details).get("reasoning_tokens") if isinstance(details, dict) else None
    found = (counts.get("prompt_tokens"), counts.get("completion_tokens"), of_thought)
    return Usage(*(count if type(count) is int and count >= 0 else None for count in found))


def _thought_of(delta: dict[str, Any]) -> str:
    for name in _FIELDS:
        if isinstance(text := delta.get(name), str) and text:
            return _whole(text)
    found = _texts(delta.get("reasoning_details"), ("text", "summary"))  # OpenRouter, where reasoning is left out
    parts = delta.get("content")
    for part in cast("list[Any]", parts) if isinstance(parts, list) else []:
        if isinstance(part, dict):
            found += _texts(cast("dict[str, Any]", part).get("thinking"), ("text",))
    return _whole(found)


def _content_of(delta: dict[str, Any]) -> str:
    content = delta.get("content")
    return _whole(content if isinstance(content, str) else _texts(content, ("text",)))  # Mistral sends parts


def _texts(rows: Any, keys: tuple[str, ...]) -> str:
    """The texts under the first key that each row has; nothing for what is no list of rows."""
    found: list[str] = []
    for row in cast("list[Any]", rows) if isinstance(rows, list) else []:
        if isinstance(row, dict):
            texts = [text for key in keys if isinstance(text := cast("dict[str, Any]", row).get(key), str)]
            found += texts[:1]
    return "".join(found)


def _whole(text: str) -> str:
    return HALF_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text)
