"""What single tokens are called: their bytes, exactly, and a text for them even where they are half a character."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

MIN_LOGPROB = -9999.0
"""As OpenAI writes what cannot be; JSON knows no infinity."""


class TokenNames:
    """The names of one tokenizer's tokens."""

    def __init__(self, tokenizer: Any) -> None:
        """``tokenizer``: transformers', of the fast kind."""
        self._tokenizer = tokenizer
        self._added = {token_id: str(token) for token_id, token in tokenizer.added_tokens_decoder.items()}
        self._bytes_of = _reader(tokenizer)
        self._entries: dict[int, tuple[str, bytes]] = {}

    def name(self, token_id: int) -> tuple[str, bytes]:
        """A token's text and its bytes; half a character is called ``bytes:\\xe4\\xb8``, as OpenAI does."""
        found = self._entries.get(token_id)
        if found is None:
            raw = self._raw(token_id)
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:
                text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)
            found = self._entries[token_id] = (text, raw)
        return found

    def _raw(self, token_id: int) -> bytes:
        if (added := self._added.get(token_id)) is not None:
            return added.encode()
        piece = self._tokenizer.convert_ids_to_tokens(token_id)
        return self._bytes_of(piece) if piece is not None else b""


@lru_cache(maxsize=16)
def token_names(tokenizer: Any) -> TokenNames:
    """The names of a tokenizer's tokens, made once."""
    return TokenNames(tokenizer)


def shown_logprob(logprob: float) -> float:
    """As JSON can write it."""
    return max(logprob, MIN_LOGPROB)


def _reader(tokenizer: Any) -> Callable[[str], bytes]:
    """Reads a piece of the vocabulary as the tokenizer's decoder would."""
    decoder = tokenizer.backend_tokenizer.decoder
    kinds = _kinds(json.loads(decoder.__getstate__())) if decoder is not None else set()
    if "ByteLevel" in kinds:
        alphabet = _byte_level_alphabet()
        return lambda piece: b"".join(alphabet.get(letter) or letter.encode() for letter in piece)
    return _sentencepiece_bytes if kinds & {"ByteFallback", "Metaspace"} else lambda piece: piece.encode()


def _kinds(decoder: dict[str, Any]) -> set[str]:
    return {decoder["type"]}.union(*(_kinds(part) for part in decoder.get("decoders", ())))


def _sentencepiece_bytes(piece: str) -> bytes:
    """``<0x0A>`` is a byte, and a low line stands for a blank."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("\u2581", " ").encode()


def _byte_level_alphabet() -> dict[str, bytes]:
    """GPT-2's letters for the 256 bytes: printable ones are themselves, the others follow from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): bytes([byte]) for byte in printable}
    return alphabet | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}
