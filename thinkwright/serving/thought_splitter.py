"""Tells thought and answer apart in a text that comes in pieces, whose borders may lie anywhere.

Whether the thought is open already is known from the prompt, not from the reply: a template may begin it. A first
``<think>`` opens a thought wherever it stands; after a thought has closed, the tag is text like any other. Blanks
around thought and answer are left out.
"""

from collections.abc import Sequence
from typing import Literal

OPEN, CLOSE = "<think>", "</think>"
Kind = Literal["thought", "answer"]
Said = list[tuple[Kind, str]]


class ThoughtSplitter:
    """One reply. Feed it text, then ``finish``; each gives what can be told by then."""

    def __init__(self, *, opens_thought: bool, has_thought: bool = True, answer_tags: Sequence[str] = ()) -> None:
        """``has_thought``: False for a template without thoughts, where all is the answer.

        ``answer_tags`` are taken out of the answer.
        """
        self.kind: Kind = "thought" if opens_thought else "answer"
        """What the reply is at now."""
        self._has_thought, self._may_open = has_thought, has_thought and not opens_thought
        self._answer_tags = tuple(answer_tags)
        self._held = ""
        self._has_said = {"thought": False, "answer": False}

    def feed(self, text: str) -> Said:
        """What is certain now; a piece of a tag, or a blank that may be the last, is held back."""
        self._held += text
        said: Said = []
        while found := self._next_tag():
            start, tag = found
            self._say(said, self._held[:start].rstrip())
            self._held = self._held[start + len(tag) :]
            if tag == OPEN:
                self.kind, self._may_open = "thought", False
            elif tag == CLOSE:
                self.kind, self._may_open = "answer", False
        certain = len(self._held) - self._num_uncertain()
        self._say(said, self._held[:certain])
        self._held = self._held[certain:]
        return said

    def finish(self) -> Said:
        """The rest."""
        said: Said = []
        self._say(said, self._held.rstrip())
        self._held = ""
        return said

    def _tags(self) -> tuple[str, ...]:
        if self.kind == "thought":
            return (CLOSE,)
        # A thought that was ended by force may be ended once more by the model.
        of_thought = (OPEN, CLOSE) if self._may_open else (CLOSE,) if self._has_thought else ()
        return (*of_thought, *self._answer_tags)

    def _next_tag(self) -> tuple[int, str] | None:
        places = [(place, tag) for tag in self._tags() if (place := self._held.find(tag)) >= 0]
        return min(places, default=None)

    def _num_uncertain(self) -> int:
        """Characters at the end that may be the beginning of a tag, and the blanks before it."""
        tail = max((_overlap(self._held, tag) for tag in self._tags()), default=0)
        kept = self._held[: len(self._held) - tail]
        return tail + len(kept) - len(kept.rstrip())

    def _say(self, said: Said, text: str) -> None:
        if not self._has_said[self.kind]:
            text = text.lstrip()
        if text:
            self._has_said[self.kind] = True
            said.append((self.kind, text))


class StopFinder:
    """Cuts a text that comes in pieces before the first of some stop texts."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._held = tuple(stops), ""
        self.has_stopped = False

    def feed(self, text: str) -> str:
        """What is certainly before any stop text."""
        if self.has_stopped:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.has_stopped = True
            certain, self._held = self._held[: min(places)], ""
            return certain
        uncertain = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        certain = self._held[: len(self._held) - uncertain]
        self._held = self._held[len(certain) :]
        return certain

    def finish(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``tag``, but not all of it."""
    longest = min(len(text), len(tag) - 1)
    return next((size for size in range(longest, 0, -1) if tag.startswith(text[-size:])), 0)
