"""Writes a model as a Hugging Face folder that needs nothing of ours, and loads it again with plain transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from thinkwright.config.suites import TEMPERATURE, TOP_P
from thinkwright.errors import ModelError
from thinkwright.export.card import Card, license_of, write_card
from thinkwright.export.subject import Subject
from thinkwright.models.policy import Policy

PROBES = (
    "What is 12 + 7 - 3? <think> 12 + 7 = 19, wait </think> 16",
    "一步一步来：小明有3个苹果，又买了5个。",
    "def f(x):\n\treturn  x**2  # 🙂 é\r\n",
)
"""Texts whose tokens and logits are compared."""


def make_card(subject: Subject, library: str, license: str | None) -> Card:
    """What the model's card is written of."""
    config = subject.policy.model.config
    return Card(
        name=subject.name,
        library=library,
        num_parameters=sum(param.numel() for param in subject.policy.model.parameters()),
        architecture=config.model_type,
        max_positions=subject.policy.max_positions,
        chat=subject.chat,
        facts=subject.facts,
        license=license_of(subject.facts, license),
    )


def write_folder(subject: Subject, folder: Path, license: str | None) -> None:
    """Weights, tokenizer with the chat template, R1's sampling as the default, and the card."""
    policy = subject.policy
    if subject.chat.name != "own":
        policy.tokenizer.chat_template = subject.chat.jinja
        policy.tokenizer.response_template = subject.chat.response_template
        policy.model.generation_config = _generation_config(policy)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    write_card(folder, make_card(subject, "transformers", license))


def _generation_config(policy: Policy) -> GenerationConfig:
    """What vLLM and transformers sample by unless told otherwise."""
    pad = policy.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        eos_token_id=list(policy.end_ids),
        pad_token_id=policy.end_ids[0] if pad is None else pad,
    )


def check_folder(subject: Subject, folder: Path) -> dict[str, Any]:
    """Load the folder as anyone would and compare; gives figures of what was compared.

    Tokens, prompts and logits must be equal, the last to the bit, both computed by transformers' plain attention.
    Raises ModelError for a difference.
    """
    policy = subject.policy
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=policy.dtype, attn_implementation="eager").eval()
    texts = [*PROBES, *([subject.chat.prompt_example[1]] if subject.chat.prompt_example else [])]
    ids = [policy.encode(text) for text in texts]
    if ids != [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in texts]:
        raise ModelError(f"{subject.name}: the written tokenizer splits texts otherwise; please report this")
    _check_prompt(subject, tokenizer)
    if model.generation_config.to_diff_dict() != policy.model.generation_config.to_diff_dict():
        raise ModelError(f"{subject.name}: generation_config.json reads back otherwise; please report this")
    num_logits = sum(_equal_logits(subject, model, one) for one in ids if one)
    return {"prompts": len(texts), "logits": num_logits}


def _check_prompt(subject: Subject, tokenizer: Any) -> None:
    if subject.chat.prompt_example is None:
        return
    question, prompt = subject.chat.prompt_example
    messages = [{"role": "user", "content": question}]
    if tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) != prompt:
        raise ModelError(
            f"{subject.name}: the chat template does not put a question as in training; please report this"
        )


@torch.no_grad()
def _equal_logits(subject: Subject, model: Any, ids: tuple[int, ...]) -> int:
    """How many logits were compared."""
    ours = subject.policy.model
    attention = ours.config._attn_implementation
    ours.set_attn_implementation("eager")
    try:
        tokens = torch.tensor([ids])
        expected, found = (one(input_ids=tokens, use_cache=False).logits for one in (ours, model))
    finally:
        ours.set_attn_implementation(attention)
    if not torch.equal(expected, found):
        error = float((expected.float() - found.float()).abs().max())
        raise ModelError(
            f"{subject.name}: the written folder gives other logits (by up to {error:.1e}); please report this"
        )
    return expected.numel()
