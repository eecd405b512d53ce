"""Tells thought and answer apart in a text that comes in pieces, whose borders may lie anywhere.

Whether the thought is open already is known from the prompt, not from the reply: a template may begin it. ``<think>``
opens a thought where nothing was said before it; in an answer it is text like any other. Blanks around thought and
answer are left out.
"""

from collections.abc import Sequence
from typing import Literal

OPEN, CLOSE = "<think>", "</think>"
Kind = Literal["thought", "answer"]
Said = list[tuple[Kind, str]]


class ThoughtSplitter:
    """One reply. Feed it text, then ``finish``; each gives what can be told by then."""

    def __init__(
        self,
        *,
        opens_thought: bool,
        has_thought: bool = True,
        answer_tags: Sequence[str] = (),
        pairs: Sequence[tuple[str, str]] = ((OPEN, CLOSE),),
        is_prompt_known: bool = True,
    ) -> None:
        """``has_thought``: False where all is the answer: the template has no thoughts, or the prompt has closed it.

        ``answer_tags`` are taken out of the answer. ``pairs``: tags that may stand around a thought; a thought ends
        with the tag of the pair that began it, or of the first pair if the prompt did. ``is_prompt_known``: False for a
        server of others. Then the first pair's end without a beginning shows that all before it was thought
        (``was_thought``).
        """
        self.kind: Kind = "thought" if opens_thought else "answer"
        """What the reply is at now."""
        self.was_thought = False
        """What earlier calls gave as the answer was thought; said by the call in which its end was found."""
        self._has_thought, self._may_open = has_thought, has_thought and not opens_thought
        self._closing, self._close, self._is_prompt_known = dict(pairs), pairs[0][1], is_prompt_known
        self._answer_tags = tuple(answer_tags)
        self._held = self._gap = ""
        """The gap: blanks before a tag of the answer, which are text if more follows."""
        self._has_said = {"thought": False, "answer": False}

    @property
    def num_held(self) -> int:
        """Characters of which nothing is certain yet."""
        return len(self._held)

    def feed(self, text: str) -> Said:
        """What is certain now; a piece of a tag, or a blank that may be the last, is held back."""
        self._held += text
        said: Said = []
        while found := self._next_tag():
            start, tag = found
            if tag in self._closing and self._is_prompt_known and not self._is_first(start):
                # The answer speaks of tags: none of them is one.
                self._has_thought = self._may_open = False
                continue
            of_thought = tag == self._close or tag in self._closing
            before = self._held[:start]
            self._say(said, kept := before.rstrip())
            self._gap = "" if of_thought else self._gap + before[len(kept) :]
            self._held = self._held[start + len(tag) :]
            if tag in self._closing:
                self.kind, self._may_open, self._close = "thought", False, self._closing[tag]
            elif of_thought:
                self._end_thought(said)
        certain = len(self._held) - self._num_uncertain()
        self._say(said, self._held[:certain])
        self._held = self._held[certain:]
        return said

    def finish(self) -> Said:
        """The rest."""
        said: Said = []
        self._say(said, self._held.rstrip())
        self._held = self._gap = ""
        return said

    def _end_thought(self, said: Said) -> None:
        if self.kind == "answer" and self._may_open and not self._is_prompt_known:
            self.was_thought = True
            said[:] = [("thought", text) for _, text in said]
            self._has_said["answer"] = False
        self.kind, self._may_open = "answer", False

    def _tags(self) -> tuple[str, ...]:
        if self.kind == "thought":
            return (self._close,)
        # A thought that was ended by force may be ended once more by the model.
        of_thought = (self._close,) if self._has_thought else ()
        if self._may_open and (self._is_prompt_known or not self._has_said["answer"]):
            of_thought = (*self._closing, *of_thought)
        return (*of_thought, *self._answer_tags)

    def _next_tag(self) -> tuple[int, str] | None:
        places = [(place, tag) for tag in self._tags() if (place := self._place(tag)) >= 0]
        return min(places, default=None)

    def _place(self, tag: str) -> int:
        """Where a tag stands in what is held; -1 if nowhere, or not where it counts."""
        place = self._held.find(tag)
        if tag in self._closing and not self._is_prompt_known and self._held[:place].strip():
            return -1
        return place

    def _is_first(self, place: int) -> bool:
        """Whether the answer has no text before a place in what is held."""
        return not (self._has_said["answer"] or self._held[:place].strip())

    def _num_uncertain(self) -> int:
        """Characters at the end that may be the beginning of a tag, and the blanks before it."""
        tail = max((_overlap(self._held, tag) for tag in self._tags()), default=0)
        kept = self._held[: len(self._held) - tail]
        return tail + len(kept) - len(kept.rstrip())

    def _say(self, said: Said, text: str) -> None:
        if not text:
            return
        if self._gap:
            text, self._gap = self._gap + text, ""
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
        self.num_passed = 0
        """Characters before any stop text so far; not counted where there are no stop texts."""

    def feed(self, text: str) -> str:
        """What is certainly before any stop text."""
        if not self._stops:
            return text
        if self.has_stopped:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.has_stopped = True
            certain, self._held = self._held[: min(places)], ""
            self.num_passed += len(certain)
            return certain
        uncertain = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        certain = self._held[: len(self._held) - uncertain]
        self._held = self._held[len(certain) :]
        self.num_passed += len(certain)
        return certain

    def finish(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``tag``, but not all of it."""
    start = max(0, len(text) - len(tag) + 1)
    while (start := text.find(tag[0], start)) >= 0:
        if tag.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0
