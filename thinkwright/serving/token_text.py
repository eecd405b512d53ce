"""Text of tokens as they come: only whole characters, and the text that decoding all at once gives."""

from typing import Any

from tokenizers.decoders import DecodeStream


class TokenText:
    """The text of one completion; an end token at its end is no text."""

    def __init__(self, tokenizer: Any, end_ids: frozenset[int]) -> None:
        """``tokenizer``: transformers', of the fast kind."""
        self._tokenizer, self._end_ids = tokenizer, end_ids
        self._stream = DecodeStream(skip_special_tokens=False)
        self._ids: list[int] = []
        self._num_read = self._num_said = self._length = 0

    def feed(self, token_id: int) -> str:
        """What the token adds; empty while a character is not whole, and for an end token that may be the last."""
        self._ids.append(token_id)
        return "" if token_id in self._end_ids else self._read()

    def finish(self) -> str:
        """What is left: half a character, as the replacement character."""
        if self._ids and self._ids[-1] in self._end_ids:
            self._ids.pop()
        whole = self._tokenizer.decode(self._ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return whole[self._length :]

    def _read(self) -> str:
        new = self._ids[self._num_read :]
        self._num_read = len(self._ids)
        try:
            text = self._step(new)
        except Exception:  # tokenizers' errors have no type of their own
            text = self._begin_anew()
        if text:
            self._num_said = self._num_read
            self._length += len(text)
        return text

    def _step(self, token_ids: list[int]) -> str:
        return "".join(self._stream.step(self._tokenizer.backend_tokenizer, token_id) or "" for token_id in token_ids)

    def _begin_anew(self) -> str:
        """What was not said yet is read by itself.

        Where bytes are tokens (Llama's layout), some that are no character make replacement characters of those before
        them, which were said as text already; the stream then fails with every further token.
        """
        self._ids = self._ids[self._num_said :]
        self._num_read, self._length = len(self._ids), 0
        self._stream = DecodeStream(skip_special_tokens=False)
        return self._step(self._ids)
