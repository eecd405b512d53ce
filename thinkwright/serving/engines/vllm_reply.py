"""A reply of vLLM as it comes: events of its stream in, pieces out; and the thought ended that takes too long."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving.ask import BackendError
from thinkwright.serving.engines.backend import Piece
from thinkwright.types import FinishReason

_TOKEN = "token_id:"
_DATA = b"data: "
_DONE = _DATA + b"[DONE]"
_SHOWN_BYTES = 100
_ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class VllmReply:
    """One completion, which takes a second request if its thought is ended by force."""

    def __init__(self, settings: LiveSettings, tokenizer: Any) -> None:
        self._settings, self._tokenizer = settings, tokenizer
        self._budget = settings.thinking_budget
        self._forced: tuple[int, ...] = ()
        self.token_ids: list[int] = []
        """All so far, forced ones included."""
        self.end: FinishReason | None = None
        self.is_interrupted = False
        """The thought has used up its budget: this request is of no more use."""

    def read(self, choices: Iterable[dict[str, Any]]) -> Piece | None:
        """What some events bring; None for nothing. Raises BackendError if vLLM gave up."""
        tokens: list[LiveToken] = []
        for choice in choices:
            new = _tokens(choice, self._settings.num_alternatives)
            self.token_ids += [token.token_id for token in new]
            tokens += new
            self.end = _end(choice["finish_reason"])
            if num_over := self._num_over():
                del tokens[len(tokens) - num_over :], self.token_ids[len(self.token_ids) - num_over :]
                self.end = None
            if self.is_interrupted:
                break
        return Piece(tuple(tokens), self.end) if tokens or self.end else None

    def go_on(self) -> Piece:
        """End the thought: the forced tokens. They were not drawn, and vLLM tells no log-probability; 0 is given."""
        forced = self._forced[: self._settings.max_tokens - len(self.token_ids)]
        self.token_ids += forced
        self.is_interrupted = False
        self.end = "length" if len(self.token_ids) == self._settings.max_tokens else None
        return Piece(tuple(LiveToken(token_id, 0.0, ()) for token_id in forced), self.end)

    def _num_over(self) -> int:
        """Tokens past the budget if it interrupts the thought; looked at once."""
        budget = self._budget
        if budget is None or len(self.token_ids) < budget.max_tokens:
            return 0
        self._budget = None
        num_over = len(self.token_ids) - budget.max_tokens
        has_ended = num_over == 0 and self.end is not None
        text = self._tokenizer.decode(
            self.token_ids[: budget.max_tokens], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        self.is_interrupted = not has_ended and budget.end not in text and budget.start in text
        if not self.is_interrupted:
            return 0
        self._forced = budget.forced
        return num_over


def choices_of(events: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """The choice of each event of the stream. Raises BackendError for an error that was sent in its midst."""
    for event in events:
        if not event.startswith(_DATA) or event == _DONE:
            continue
        try:
            read = json.loads(event[len(_DATA) :])
            choices, error = read.get("choices", []), read.get("error")
        except (ValueError, AttributeError, RecursionError) as problem:
            said = event[: len(_DATA) + _SHOWN_BYTES].decode(errors="replace")
            raise BackendError(f"vLLM sent what cannot be read ({said!r}); see its log") from problem
        if error is not None:
            raise BackendError(f"vLLM failed: {error.get('message', error) if isinstance(error, dict) else error}")
        yield from choices


def _tokens(choice: dict[str, Any], num_alternatives: int) -> list[LiveToken]:
    if "token_ids" not in choice:
        raise BackendError("vLLM sends no token ids; start a newer one, which knows return_token_ids")
    logprobs = choice["logprobs"] or {"token_logprobs": (), "top_logprobs": ()}
    rows = zip(choice["token_ids"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    return [
        LiveToken(token_id, logprob, _alternatives(top, num_alternatives) if num_alternatives else ())
        for token_id, logprob, top in rows
    ]


def _alternatives(top: dict[str, float], count: int) -> tuple[tuple[int, float], ...]:
    """Likeliest first. The drawn token is listed, too, however unlikely."""
    found = [(int(name.removeprefix(_TOKEN)), logprob) for name, logprob in top.items()]
    return tuple(sorted(found, key=lambda pair: -pair[1])[:count])


def _end(reason: str | None) -> FinishReason | None:
    if reason is not None and reason not in _ENDS:
        raise BackendError(f"vLLM gave the reply up ({reason}); see its log")
    return _ENDS.get(reason or "")
