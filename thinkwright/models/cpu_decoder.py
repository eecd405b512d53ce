"""A decoding pass on a CPU written out, for models laid out as Qwen2, Qwen3 and Llama are.

What transformers' modules do in some 400 small operations, much of their time Python's, are here some 15 calls a layer:
the same matrix products, and the compiled kernel between them. Parameters are read where the model has them. Rounding
is that of the modules, operation by operation, so that the trainer's log-probabilities are the same.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from thinkwright.models.paged_kernel import KernelContext, compiled
from thinkwright.models.policy import Policy

MODEL_TYPES = ("llama", "qwen2", "qwen3")


def fits(policy: Policy) -> bool:
    """Whether the policy is of a known layout; that the compiled kernel is there is another question."""
    config = policy.model.config
    return (
        config.model_type in MODEL_TYPES
        and config.hidden_act == "silu"
        and all(type(linear) is torch.nn.Linear for linear in _linears(policy.model.get_decoder()))
    )


def decode(policy: Policy, tokens: Tensor, positions: Tensor, context: KernelContext) -> Tensor:
    """Final hidden states (B, E) of tokens (B,) at positions (B,); their keys and values are kept."""
    decoder = policy.model.get_decoder()
    hidden = functional.embedding(tokens, decoder.embed_tokens.weight)
    angles = tuple(values[:, 0] for values in decoder.rotary_emb(hidden[:, None], positions[:, None]))
    for number, layer in enumerate(decoder.layers):
        hidden = hidden + _attention(
            layer.self_attn, number, _normalized(hidden, layer.input_layernorm), angles, context
        )
        hidden = hidden + _feed_forward(layer.mlp, _normalized(hidden, layer.post_attention_layernorm))
    return _normalized(hidden, decoder.norm)


def lay_out_for_few_rows(policy: Policy) -> None:
    """Keep the layers' weights (out, in) column by column, for a policy that only samples; shapes and values stay.

    Copying weights into its own order is much of the library's work (MKL) on a few rows, and takes less from this one.
    """
    for linear in _linears(policy.model.get_decoder()):
        linear.weight.data = linear.weight.data.t().contiguous().t()


def _attention(module: Any, number: int, hidden: Tensor, angles: tuple[Tensor, ...], context: KernelContext) -> Tensor:
    size, num_rows = module.head_dim, len(hidden)
    query, key, value = (
        _product(hidden, linear).view(num_rows, -1, size) for linear in (module.q_proj, module.k_proj, module.v_proj)
    )
    if hasattr(module, "q_norm"):
        query, key = _normalized(query, module.q_norm), _normalized(key, module.k_norm)
    _rotate(query, *angles)
    _rotate(key, *angles)
    out = context.attend(number, query[:, :, None], key[:, :, None], value[:, :, None], module.scaling)
    return _product(out.view(num_rows, -1), module.o_proj)


def _feed_forward(module: Any, hidden: Tensor) -> Tensor:
    gate, up = _product(hidden, module.gate_proj), _product(hidden, module.up_proj)
    _library().thinkwright_gate(
        ctypes.c_int64(gate.numel()), ctypes.c_void_p(gate.data_ptr()), ctypes.c_void_p(up.data_ptr()), _is_bf16(gate)
    )
    return _product(gate, module.down_proj)


def _product(hidden: Tensor, linear: torch.nn.Linear) -> Tensor:
    return functional.linear(hidden, linear.weight, linear.bias)


def _normalized(hidden: Tensor, norm: Any) -> Tensor:
    """RMSNorm (arXiv:1910.07467) over the last dimension."""
    out, width = torch.empty_like(hidden), hidden.shape[-1]
    _library().thinkwright_norm(
        (ctypes.c_int64 * 2)(hidden.numel() // width, width),
        (ctypes.c_void_p * 3)(hidden.data_ptr(), norm.weight.data_ptr(), out.data_ptr()),
        ctypes.c_float(norm.variance_epsilon),
        _is_bf16(hidden),
    )
    return out


def _rotate(states: Tensor, cosines: Tensor, sines: Tensor) -> None:
    """Heads (B, H, D) in place."""
    _library().thinkwright_rotate(
        (ctypes.c_int64 * 3)(*states.shape),
        (ctypes.c_void_p * 3)(states.data_ptr(), cosines.data_ptr(), sines.data_ptr()),
        _is_bf16(states),
    )


def _is_bf16(states: Tensor) -> bool:
    return states.dtype == torch.bfloat16


def _library() -> ctypes.CDLL:
    library = compiled()
    assert library is not None, "paged_kernel.is_available was asked before"
    return library


def _linears(decoder: Any) -> list[torch.nn.Linear]:
    parts = [(layer.self_attn, layer.mlp) for layer in decoder.layers]
    names = (("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj"))
    return [getattr(part, name) for pair in parts for part, own in zip(pair, names, strict=True) for name in own]
