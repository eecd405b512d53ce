"""Tokens that are shown with their log-probabilities: only those whose text is, and with it.

Between a token and its text stand three that hold back or leave out: half a character waits for its rest, the thought
splitter for what may be a tag, the stop finder for what may be a stop text. So lengths are followed: what came in, what
is held, and what was said; the difference was tags and blanks, which come before what is said.
"""

from collections import deque
from collections.abc import Sequence

from thinkwright.chat.thought_splitter import Said
from thinkwright.rollout.live_batch import LiveToken
from thinkwright.serving.ask import ShownToken, Thinking


class ShownTokens:
    """Those of one choice. Each token is read, then what was said of its text is told."""

    def __init__(self, thinking: Thinking, *, has_stops: bool) -> None:
        self._thinking, self._has_stops = thinking, has_stops
        self._textless: list[LiveToken] = []
        self._split: deque[tuple[list[LiveToken], int]] = deque()
        """Tokens with the length of their text that the splitter has not settled yet."""
        self._stopping: deque[tuple[ShownToken, int]] = deque()
        """Tokens of the answer with the place of their text in it, which the stop finder may hold."""
        self._num_answer = 0
        self._shown: list[ShownToken] = []

    def read(self, token: LiveToken, num_characters: int) -> None:
        """One more, and how much text has come with it."""
        self._textless.append(token)
        if num_characters:
            self._split.append((self._textless, num_characters))
            self._textless = []

    def read_rest(self, num_characters: int, end_ids: frozenset[int]) -> None:
        """The text is whole; an end token at its end is no part of it."""
        if self._textless and self._textless[-1].token_id in end_ids:
            self._textless.pop()
        if num_characters:
            self._split.append((self._textless, num_characters))

    def settle(self, said: Said, num_held: int, num_passed: int) -> None:
        """What the splitter said of the text so far, what it holds, and how much answer passed the stop finder."""
        num_said = sum(len(text) for _, text in said)
        num_settled = sum(length for _, length in self._split) - num_held
        num_lost, at = max(0, num_settled - num_said), 0
        while self._split and at < num_settled:
            tokens, length = self._split.popleft()
            at += length
            if said and at > num_lost:
                self._show(tokens, is_thought=said[0][0] == "thought")
                tokens = []
            if at > num_settled:
                self._split.appendleft((tokens, at - num_settled))
        self._num_answer += sum(len(text) for kind, text in said if kind == "answer")
        self.pass_stops(num_passed)

    def pass_stops(self, num_passed: int | None = None) -> None:
        """So much of the answer is before any stop text; None: all of it."""
        while self._stopping and (num_passed is None or self._stopping[0][1] < num_passed):
            self._shown.append(self._stopping.popleft()[0])

    def take(self) -> tuple[ShownToken, ...]:
        """What is to be shown now."""
        if not self._shown:
            return ()
        shown, self._shown = tuple(self._shown), []
        return shown

    def _show(self, tokens: Sequence[LiveToken], *, is_thought: bool) -> None:
        if is_thought and not self._thinking.is_shown:
            return
        for token in tokens:
            # A thought between tags is part of the content.
            is_apart = is_thought and self._thinking.is_apart
            shown = ShownToken(token.token_id, token.logprob, token.alternatives, is_apart)
            if self._has_stops and not is_thought:
                self._stopping.append((shown, self._num_answer))
            else:
                self._shown.append(shown)
