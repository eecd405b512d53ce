"""Which models llama.cpp can hold, and how it names, orders and describes their weights.

Three layouts of transformers are known: Qwen2, Qwen3 and Llama. llama.cpp rotates neighbouring pairs in Llama's heads,
where transformers rotates the two halves, so the rows of Llama's query and key projections change places; Qwen's stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thinkwright.errors import ModelError

ARCHITECTURES = ("qwen2", "qwen3", "llama")
"""transformers' ``model_type`` and llama.cpp's architecture have the same names."""
BLOCK_SIZES = {"f32": 1, "f16": 1, "bf16": 1, "q8_0": 32, "q4_0": 32}
"""Weights in a row that share a scale, by the type of the file."""
_HF = "use --to hf instead"


@dataclass(frozen=True)
class Layout:
    """The sizes and constants of a model that a GGUF file states."""

    architecture: str
    num_layers: int
    max_positions: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_key_value_heads: int
    head_size: int
    norm_epsilon: float
    rope_base: float
    rope_linear_factor: float | None
    num_rows: int
    """Of the embedding."""


def read_layout(name: str, config: Any, file_type: str) -> Layout:
    """The layout of a transformers model. Raises ModelError, with the remedy, for one that GGUF cannot hold."""
    if config.model_type not in ARCHITECTURES:
        raise ModelError(
            f"{name}: type {config.model_type} is not written to GGUF, only {', '.join(ARCHITECTURES)}; {_HF}"
        )
    rope = config.rope_parameters
    head_size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    _check_shape(name, config, head_size)
    _check_rope(name, config.model_type, rope)
    _check_rows(name, config, head_size, file_type)
    return Layout(
        architecture=config.model_type,
        num_layers=config.num_hidden_layers,
        max_positions=config.max_position_embeddings,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_size=head_size,
        norm_epsilon=config.rms_norm_eps,
        rope_base=float(rope["rope_theta"]),
        rope_linear_factor=float(rope["factor"]) if rope["rope_type"] == "linear" else None,
        num_rows=config.vocab_size,
    )


def _check_shape(name: str, config: Any, head_size: int) -> None:
    if config.hidden_act != "silu":
        raise ModelError(f"{name}: its activation {config.hidden_act} is not llama.cpp's (silu); {_HF}")
    if config.model_type == "qwen2" and head_size * config.num_attention_heads != config.hidden_size:
        raise ModelError(
            f"{name}: {config.num_attention_heads} heads of {head_size} are not its hidden size {config.hidden_size}, "
            f"which llama.cpp takes for granted in Qwen2; {_HF}"
        )
    if config.model_type == "qwen3" and config.attention_bias:
        raise ModelError(f"{name}: llama.cpp reads no attention biases in Qwen3; {_HF}")


def _check_rope(name: str, model_type: str, rope: dict[str, Any]) -> None:
    """Plain and linear in all, Llama 3's in Llama; what else there is scales attention, too."""
    kind = rope.get("rope_type", "default")
    if kind not in ("default", "linear") and (kind, model_type) != ("llama3", "llama"):
        raise ModelError(
            f"{name}: positions of type {kind} are not written to GGUF; take rope_scaling out of its config.json, if "
            f"you need no longer contexts than it was trained for, or {_HF}"
        )
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ModelError(f"{name}: only a part of each head is rotated, which is not written to GGUF; {_HF}")


def _check_rows(name: str, config: Any, head_size: int, file_type: str) -> None:
    block = BLOCK_SIZES[file_type]
    sizes = {
        "hidden size": config.hidden_size,
        "intermediate size": config.intermediate_size,
        "width of all heads": head_size * config.num_attention_heads,
    }
    for what, size in sizes.items():
        if size % block:
            raise ModelError(
                f"{name}: its {what} {size} does not divide into blocks of {block} as {file_type} needs; "
                "use --type f16 or bf16"
            )


def is_tied(model: Any) -> bool:
    """Whether the head is the embedding; llama.cpp then wants it once."""
    return model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def weights(model: Any, layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """transformers' name and the fp32 weight as llama.cpp wants it, one at a time."""
    tied = is_tied(model)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        value = weight.detach().to("cpu", torch.float32)
        if layout.architecture == "llama" and name.rpartition(".")[0].endswith(("q_proj", "k_proj")):
            is_query = "q_proj" in name
            value = pairs_together(value, layout.num_heads if is_query else layout.num_key_value_heads)
        yield name, value.contiguous()


def pairs_together(rows: Tensor, num_heads: int) -> Tensor:
    """Rows (or biases) of a projection, in each head: first, middle, second, one after the middle, and so on."""
    halves = rows.reshape(num_heads, 2, rows.shape[0] // num_heads // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def rope_factors(model: Any, layout: Layout) -> Tensor | None:
    """What each frequency (head_size / 2,) is divided by beside the base's, as transformers does it; None: by nothing.

    Only Llama 3's scaling needs them, the linear one has a key of its own.
    """
    if layout.rope_linear_factor is not None:
        return None
    plain = layout.rope_base ** -(torch.arange(0, layout.head_size, 2, dtype=torch.float64) / layout.head_size)
    factors = plain / model.get_decoder().rotary_emb.inv_freq.detach().to("cpu", torch.float64)
    return None if torch.allclose(factors, torch.ones_like(factors), rtol=1e-5) else factors.float()
