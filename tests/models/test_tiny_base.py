"""The shipped base: small, ordinary, and read alike by transformers and by us."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinkwright.chat.template import TAGS, r1_zero_prompt
from thinkwright.models.logprobs import logits_from_hidden
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import SHIPPED
from thinkwright.models.token_tree import pack_rows

FOLDER = SHIPPED["tiny-base"]


def test_weights_are_at_most_12_megabytes_and_2_to_6_million_parameters() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 12e6
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert 2e6 <= sum(param.numel() for param in model.parameters()) <= 6e6
    assert model.config.model_type == "qwen2"
    assert model.config.hidden_size % 256 == 0


@torch.no_grad()
def test_transformers_reads_the_folder_with_the_same_logits() -> None:
    policy = load_policy(str(FOLDER), device=torch.device("cpu"), dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(FOLDER).encode(r1_zero_prompt("What is 3+4*5?"))
    tree = pack_rows([tokens], first_position=0)
    last = policy.packed_hidden_states(tree, PackedContext(tree, policy.device))[-1]
    ours, theirs = logits_from_hidden(last, policy.head), model(torch.tensor([tokens])).logits[0, -1]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_digits_and_tags_are_single_tokens_and_any_text_survives() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert all(len(tokenizer.encode(tag)) == 1 for tag in TAGS)
    assert len(tokenizer.encode("90210")) == 5
    for text in (
        "一步一步来，计算3+4。",
        "<think>so\n</think> <answer>x</answer>",
        "\u00e9\U0001f600\t never seen \u0434",
    ):
        assert tokenizer.decode(tokenizer.encode(text), clean_up_tokenization_spaces=False) == text


def test_the_card_states_how_it_was_made_and_measured() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for wanted in (
        "thinkwright run tiny/base",
        "seed",
        "minutes",
        "guesses",
        "checks itself",
        "closes its tags",
        "step by step",
    ):
        assert wanted in card
