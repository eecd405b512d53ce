"""Writes a model as a GGUF file for llama.cpp and all that is built on it, and reads it back.

transformers' weights become llama.cpp's (``gguf_layout.py``), the tokenizer its tables (``gguf_tokenizer.py``); chat
template and R1's sampling travel in the file. Norms and biases stay fp32, as llama.cpp's own converter has them; in a
q4_0 file embedding and head are q8_0. The file is not done before every tensor and table was read back and compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thinkwright.chat.formats import ChatFormat
from thinkwright.config.suites import TEMPERATURE, TOP_P
from thinkwright.errors import ModelError
from thinkwright.export.gguf_layout import Layout, rope_factors, weights
from thinkwright.export.gguf_tokenizer import GgufTokenizer
from thinkwright.models.policy import Policy

TYPES = ("f16", "bf16", "q8_0", "q4_0", "f32")
_LARGEST_F16 = 65504.0
_ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True)
class GgufModel:
    """All that goes into a file."""

    name: str
    policy: Policy
    layout: Layout
    tokenizer: GgufTokenizer
    chat: ChatFormat
    file_type: str
    """One of ``TYPES``."""
    license: str | None
    languages: tuple[str, ...]
    base_model: str | None
    """The Hub name of the model it was trained from."""


def import_gguf() -> Any:
    """The gguf package. Raises ModelError if it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise ModelError("GGUF files need the package gguf; pip install 'thinkwright[export]'") from error
    return gguf


def file_name(model: GgufModel) -> str:
    """By llama.cpp's custom: NAME-SIZE-TYPE.gguf."""
    return f"{model.name}-{size_label(model.policy)}-{model.file_type.upper()}.gguf"


def size_label(policy: Policy) -> str:
    """Such as 2.6M."""
    return import_gguf().size_label(sum(param.numel() for param in policy.model.parameters()), 0, 0, 0)


def write_gguf(model: GgufModel, path: Path) -> None:
    """Write the file. Raises ModelError for a weight that the type cannot hold, before the file is begun."""
    gguf = import_gguf()
    _check_range(model)
    writer = gguf.GGUFWriter(path, model.layout.architecture)
    _add_general(writer, gguf, model)
    _add_layout(writer, gguf, model.layout)
    _add_tokenizer(writer, model)
    for name, kind, value in tensors(model):
        writer.add_tensor(name, gguf.quants.quantize(value.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(model: GgufModel) -> Iterator[tuple[str, Any, Tensor]]:
    """llama.cpp's name, type and fp32 value of every tensor. Raises ModelError for a weight without a place."""
    gguf = import_gguf()
    architecture = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[model.layout.architecture]
    names = gguf.get_tensor_name_map(architecture, model.layout.num_layers)
    if (factors := rope_factors(model.policy.model, model.layout)) is not None:
        yield _ROPE_FACTORS, gguf.GGMLQuantizationType.F32, factors
    for name, value in weights(model.policy.model, model.layout):
        if (found := names.get_name(name, try_suffixes=(".weight", ".bias"))) is None:
            raise ModelError(f"{model.name}: llama.cpp has no place for its weight {name}; use --to hf instead")
        yield found, _tensor_type(found, value, model.file_type), value


def _tensor_type(name: str, value: Tensor, file_type: str) -> Any:
    kinds = import_gguf().GGMLQuantizationType
    if value.ndim == 1:
        return kinds.F32
    if file_type == "q4_0" and name in ("token_embd.weight", "output.weight"):
        return kinds.Q8_0
    return kinds[file_type.upper()]


def _check_range(model: GgufModel) -> None:
    for name, value in weights(model.policy.model, model.layout):
        if not bool(torch.isfinite(value).all()):
            raise ModelError(f"{model.name}: its weight {name} holds numbers that are not finite; the model is broken")
        if model.file_type == "f16" and value.ndim > 1 and float(value.abs().max()) > _LARGEST_F16:
            raise ModelError(f"{model.name}: its weight {name} holds numbers too large for f16; use --type bf16")


def _add_general(writer: Any, gguf: Any, model: GgufModel) -> None:
    prefix = "ALL" if model.file_type == "f32" else "MOSTLY"
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(model.name)
    writer.add_size_label(size_label(model.policy))
    if model.license is not None:
        writer.add_license(model.license)
    writer.add_tags(["text-generation", "reasoning"])
    writer.add_languages(list(model.languages))
    if model.base_model is not None:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, model.base_model.rpartition("/")[2])
        writer.add_base_model_repo_url(0, f"https://huggingface.co/{model.base_model}")
    writer.add_file_type(gguf.LlamaFileType[f"{prefix}_{model.file_type.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if model.chat.name != "own":
        writer.add_sampling_temp(TEMPERATURE)
        writer.add_sampling_top_p(TOP_P)


def _add_layout(writer: Any, gguf: Any, layout: Layout) -> None:
    writer.add_vocab_size(layout.num_rows)
    writer.add_context_length(layout.max_positions)
    writer.add_embedding_length(layout.hidden_size)
    writer.add_block_count(layout.num_layers)
    writer.add_feed_forward_length(layout.intermediate_size)
    writer.add_head_count(layout.num_heads)
    writer.add_head_count_kv(layout.num_key_value_heads)
    writer.add_key_length(layout.head_size)
    writer.add_value_length(layout.head_size)
    writer.add_layer_norm_rms_eps(layout.norm_epsilon)
    writer.add_rope_dimension_count(layout.head_size)
    writer.add_rope_freq_base(layout.rope_base)
    if layout.rope_linear_factor is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(layout.rope_linear_factor)


def _add_tokenizer(writer: Any, model: GgufModel) -> None:
    tables = model.tokenizer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tables.pre)
    writer.add_token_list(list(tables.tokens))
    writer.add_token_types(list(tables.types))
    writer.add_token_merges(list(tables.merges))
    for add, token_id in zip(
        (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), tables.end_ids, strict=False
    ):
        add(token_id)
    if tables.pad_id is not None:
        writer.add_pad_token_id(tables.pad_id)
    if tables.bos_id is not None:
        writer.add_bos_token_id(tables.bos_id)
    writer.add_add_bos_token(tables.adds_bos)
    writer.add_chat_template(model.chat.jinja)


def check_gguf(model: GgufModel, path: Path) -> dict[str, Any]:
    """Read the file back with gguf's own reader and compare; gives figures of what was compared.

    fp32, f16 and bf16 must be equal to the bit to torch's own rounding, quantized ones within the type's error. Raises
    ModelError for a difference.
    """
    gguf = import_gguf()
    reader = gguf.GGUFReader(path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    largest = 0.0
    expected: set[str] = set()
    for name, kind, value in tensors(model):
        expected.add(name)
        if name not in found or found[name].tensor_type != kind or list(found[name].shape[::-1]) != list(value.shape):
            raise ModelError(f"{path.name}: tensor {name} was not written as it should be; please report this")
        back = torch.from_numpy(np.array(gguf.quants.dequantize(found[name].data, kind)))
        error = _excess(back, value, kind.name)
        if not error <= 1:
            raise ModelError(f"{path.name}: tensor {name} reads back with {error:.2f} times the error of {kind.name}")
        largest = max(largest, float((back - value).abs().max()))
    if expected != set(found):
        raise ModelError(f"{path.name}: holds tensors that no weight became: {sorted(set(found) - expected)[:3]}")
    _check_tables(model, reader, path.name)
    return {"tensors": len(found), "largest_error": largest, "tokens": len(model.tokenizer.tokens)}


def _excess(back: Tensor, value: Tensor, kind: str) -> float:
    """How many times the type's error the largest difference is; an exact type has none to spare."""
    if kind in _EXACT:
        return 0.0 if torch.equal(back, value.to(_EXACT[kind]).float()) else float("inf")
    blocks, errors = value.reshape(-1, 32), (back - value).abs().reshape(-1, 32)
    largest = blocks.abs().amax(1)
    # A weight is at most half a step from the nearest one; q4_0 has a step less on one side, so a whole one there. The
    # scale is f16: a relative 2^-11 of the weight, or 2^-25 of the step where it is too small for that.
    step, share = (largest / 127, 0.5) if kind == "Q8_0" else (largest / 8, 1.0)
    allowed = share * step + largest * 2**-11 + 127 * 2**-25
    return float((errors.amax(1) / (allowed * 1.001)).max())


_EXACT = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def _check_tables(model: GgufModel, reader: Any, file: str) -> None:
    tables = model.tokenizer
    expected = {
        "tokenizer.ggml.tokens": list(tables.tokens),
        "tokenizer.ggml.token_type": list(tables.types),
        "tokenizer.ggml.merges": list(tables.merges),
        "tokenizer.ggml.pre": tables.pre,
        "tokenizer.ggml.eos_token_id": tables.end_ids[0],
        "tokenizer.chat_template": model.chat.jinja,
        "general.architecture": model.layout.architecture,
    }
    for key, value in expected.items():
        field = reader.get_field(key)
        if field is None or field.contents() != value:
            raise ModelError(f"{file}: {key} does not read back as it was written; please report this")
