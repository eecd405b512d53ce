"""The shape of a workload as transformers' model settings."""

from typing import Any

from bench.workloads import Shape


def sizes_of(shape: Shape) -> dict[str, Any]:
    """Arguments that Qwen2Config and Qwen3Config share."""
    return {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
    }
