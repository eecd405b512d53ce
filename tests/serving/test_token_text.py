"""Text that comes token by token is the text of all tokens."""

import random

import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from thinkwright.models.shipped import resolve_model_name
from thinkwright.serving.token_text import TokenText

TOKENIZER = AutoTokenizer.from_pretrained(resolve_model_name("tiny-base"))
END = TOKENIZER.eos_token_id


def decode(ids: list[int]) -> str:
    return TOKENIZER.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("seed", range(50))
def test_pieces_are_the_whole_text_even_of_random_bytes(seed: int) -> None:
    rng = random.Random(seed)
    ids = [rng.randrange(len(TOKENIZER)) for _ in range(60)]
    text = TokenText(TOKENIZER, frozenset({END}))
    pieces = [text.feed(token) for token in ids]
    assert "".join(pieces) + text.finish() == decode(ids[:-1] if ids[-1] == END else ids)


def test_a_character_comes_when_it_is_whole() -> None:
    ids = TOKENIZER.encode("🙂", add_special_tokens=False)
    assert len(ids) > 1
    text = TokenText(TOKENIZER, frozenset({END}))
    assert [text.feed(token) for token in ids] == [""] * (len(ids) - 1) + ["🙂"]
    assert text.finish() == ""


def test_an_end_token_is_text_only_if_more_follows() -> None:
    text = TokenText(TOKENIZER, frozenset({END}))
    (a,) = TOKENIZER.encode("a", add_special_tokens=False)
    assert [text.feed(token) for token in (a, END, a, END)] == ["a", "", decode([END, a]), ""]
    assert text.finish() == ""


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """Of Llama's layout: a token for each byte, and blanks in the pieces."""
    vocabulary = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "b", "▁c"]
    layout = Tokenizer(BPE({piece: i for i, piece in enumerate(vocabulary)}, [], unk_token="<unk>", byte_fallback=True))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    layout.decoder = decoders.Sequence(parts)
    return PreTrainedTokenizerFast(tokenizer_object=layout)


def test_bytes_that_are_no_character_do_not_end_the_text() -> None:
    tokenizer = byte_fallback_tokenizer()
    pieces = ("<0x41>", "<0xE4>", "b", "▁c", "<0xE4>", "<0xB8>", "<0xAD>", "b", "<0xFF>")
    text = TokenText(tokenizer, frozenset())
    told = [text.feed(tokenizer.convert_tokens_to_ids(piece)) for piece in pieces]
    assert told == ["A", "", "\ufffdb", " c", "", "", "中", "b", ""]
    assert text.finish() == "\ufffd"


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_of_a_byte_fallback_tokenizer_are_all_told(seed: int) -> None:
    tokenizer, rng = byte_fallback_tokenizer(), random.Random(seed)
    ids = [rng.randrange(1, len(tokenizer)) if rng.random() < 0.5 else len(tokenizer) - 2 for _ in range(60)]
    text = TokenText(tokenizer, frozenset())
    told = "".join(map(text.feed, ids)) + text.finish()
    assert told.count("b") >= ids.count(len(tokenizer) - 2)
