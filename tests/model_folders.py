"""Small Hugging Face folders with random weights, each with a tokenizer of its own."""

from pathlib import Path
from typing import Any

from thinkwright.chat.template import r1_zero_prompt

KINDS = ("qwen2", "qwen3", "llama")
TEXTS = [r1_zero_prompt("What is 12 + 7 - 3?") + "<think>12 + 7 = 19</think> <answer>16</answer>", "一步一步来，计算。"]


def write_model_folder(folder: Path, kind: str, seed: int = 0, **settings: Any) -> Path:
    """An ordinary Hugging Face folder: random weights and a byte-level tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from thinkwright.models.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(TEXTS * 50, 512)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.2,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        **({"head_dim": 32} if kind == "qwen3" else {}),
        **settings,
    }
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape), dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
