"""Text that comes token by token is the text of all tokens."""

import random

import pytest
from transformers import AutoTokenizer

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
