"""Which tokenizers llama.cpp has a name for, and the tables they become."""

import json
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.model_folders import TEXTS
from thinkwright.chat.template import TAGS
from thinkwright.errors import ModelError
from thinkwright.export.gguf_tokenizer import (
    CONTROL,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    read_tokenizer,
    splitting_rule_name,
)
from thinkwright.models.tokenizer import END_TOKEN, train_tokenizer

# As they stand in the tokenizer.json of Llama 3, SmolLM and GPT-2.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES_ALONE = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)


def split(pattern: str) -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"), BYTES_ALONE])


def spec_of(pre_tokenizer: Any, normalizer: Any = None, **settings: Any) -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE(**settings))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return json.loads(tokenizer.to_str())


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (json.loads(train_tokenizer(TEXTS, 300).backend_tokenizer.to_str()), "qwen2"),
        (spec_of(split(LLAMA3), ignore_merges=True), "llama-bpe"),
        (spec_of(split(LLAMA3)), "smaug-bpe"),
        (spec_of(GPT2), "gpt-2"),
        (spec_of(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])), "smollm"),
        (spec_of(GPT2, normalizers.NFC()), "gpt-2"),
    ],
)
def test_the_rule_decides_the_name(spec: dict[str, Any], name: str) -> None:
    assert splitting_rule_name("m", spec) == name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (spec_of(split(LLAMA3.replace("{1,3}", "{1,2}"))), "no name for the way"),
        (spec_of(pre_tokenizers.ByteLevel(add_prefix_space=True)), "no name for the way"),
        (spec_of(pre_tokenizers.Whitespace()), "no name for the way"),
        (
            spec_of(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), GPT2])),
            "no name for the way",
        ),
        (spec_of(GPT2, normalizers.Lowercase()), "not byte-level BPE"),
        (spec_of(GPT2, byte_fallback=True), "not byte-level BPE"),
        (json.loads(Tokenizer(models.Unigram()).to_str()), "not byte-level BPE"),
    ],
)
def test_what_llama_cpp_has_no_name_for_is_refused(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as found:
        splitting_rule_name("m", spec)
    assert "--to hf" in str(found.value)


def test_tables_of_a_tokenizer_trained_here() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    tables = read_tokenizer("m", tokenizer, len(tokenizer) + 3, (0,), is_ours=True)
    vocabulary = tokenizer.get_vocab()
    assert {token: i for i, token in enumerate(tables.tokens[: len(tokenizer)])} == vocabulary
    kinds = dict(zip(tables.tokens, tables.types, strict=True))
    assert kinds[END_TOKEN] == CONTROL
    assert {kinds[tag] for tag in TAGS} == {USER_DEFINED}
    assert kinds["a"] == NORMAL
    assert tables.tokens[-3:] == tuple(f"[PAD{len(tokenizer) + i}]" for i in range(3))
    assert set(tables.types[-3:]) == {UNUSED}
    assert all(merge.count(" ") == 1 for merge in tables.merges)
    assert len(tables.merges) == len(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"])


def test_more_tokens_than_rows_are_refused() -> None:
    with pytest.raises(ModelError, match="embedding only 299 rows"):
        read_tokenizer("m", train_tokenizer(TEXTS, 300), 299, (0,), is_ours=True)


def test_four_ends_are_refused() -> None:
    with pytest.raises(ModelError, match="4 tokens end a reply"):
        read_tokenizer("m", train_tokenizer(TEXTS, 300), 300, (0, 1, 2, 3), is_ours=True)


def test_a_beginning_token_is_added_only_where_prompts_had_it() -> None:
    """Llama 3's tokenizer begins every text with one; our prompts are encoded without it."""
    from tokenizers.processors import TemplateProcessing

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = split(LLAMA3), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<b>", "<e>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = TemplateProcessing(single="<b> $A", special_tokens=[("<b>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<b>", eos_token="<e>")
    own = read_tokenizer("m", tokenizer, 300, (1,), is_ours=False)
    ours = read_tokenizer("m", tokenizer, 300, (1,), is_ours=True)
    assert (own.adds_bos, own.bos_id, ours.adds_bos) == (True, 0, False)
