"""A model's size, from its configuration alone: nothing is loaded, so one too large for this machine has one too."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, DeepseekV3Config, PretrainedConfig, Qwen2Config

from thinkwright.errors import ModelError
from thinkwright.models.model_folder import LOADING
from thinkwright.models.shipped import resolve_model_name

_QWEN25 = {
    "Qwen/Qwen2.5-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen/Qwen2.5-Math-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen/Qwen2.5-3B": (2048, 11_008, 36, 16, 2, 151_936, True),
    "Qwen/Qwen2.5-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "Qwen/Qwen2.5-32B": (5120, 27_648, 64, 40, 8, 152_064, False),
}
"""Hidden, intermediate, layers, heads, key-value heads, vocabulary, tied: of models that recipes name."""
_DEEPSEEK_V3 = ("deepseek-ai/DeepSeek-V3-Base", "deepseek-ai/DeepSeek-V3")


@dataclass(frozen=True)
class ModelSize:
    """Numbers of weights and values."""

    name: str
    parameters: int
    multiplied: int
    """Weights that each token is multiplied with: without embeddings that are only looked up, and of experts those that
    it is sent to."""
    linear: int
    """Weights of the layers' linear modules, which adapters stand beside."""
    linear_sides: int
    """Their rows and columns together: adapters have rank times as many weights."""
    layers: int
    hidden: int
    attention: int
    """Heads times their size."""
    keys: int
    """Key-value heads times their size."""
    intermediate: int
    """Width inside the MLP of a token, all experts that it is sent to together."""
    cache_values: int
    """Keys and values of a token, in all layers."""


def size_of(name: str) -> ModelSize:
    """Raises ModelError for a model whose configuration is neither here, nor on the Hub, nor known."""
    config: Any = _config(name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return _counted(name, config, model)


def _counted(name: str, config: Any, model: Any) -> ModelSize:
    params = dict(model.named_parameters())
    head, embeddings = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    looked_up = 0 if head is embeddings else embeddings.numel()
    experts = sum(param.numel() for key, param in params.items() if ".experts." in key)
    chosen = getattr(config, "num_experts_per_tok", None) or 1
    count = getattr(config, "n_routed_experts", None) or getattr(config, "num_experts", None) or chosen
    total = sum(param.numel() for param in params.values())
    linears = [module for module in model.get_decoder().modules() if isinstance(module, nn.Linear)]
    heads = config.num_attention_heads
    size = getattr(config, "v_head_dim", None) or getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = (getattr(config, "num_key_value_heads", None) or heads) * size
    latent = getattr(config, "kv_lora_rank", None)
    inner = getattr(config, "moe_intermediate_size", None)
    return ModelSize(
        name=name,
        parameters=total,
        multiplied=round(total - looked_up - experts * (1 - chosen / count)),
        linear=sum(module.weight.numel() for module in linears),
        linear_sides=sum(module.in_features + module.out_features for module in linears),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        attention=heads * size,
        keys=keys,
        intermediate=(chosen + 1) * inner if inner else config.intermediate_size,
        cache_values=config.num_hidden_layers * (latent + config.qk_rope_head_dim if latent else 2 * keys),
    )


def _config(name: str) -> PretrainedConfig:
    """Of a folder; for models that shipped recipes name it is known without the Hub."""
    if name in _DEEPSEEK_V3:
        return DeepseekV3Config()
    if name in _QWEN25:
        hidden, intermediate, layers, heads, kv_heads, vocabulary, is_tied = _QWEN25[name]
        return Qwen2Config(
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            vocab_size=vocabulary,
            tie_word_embeddings=is_tied,
        )
    location = resolve_model_name(name)
    try:
        return AutoConfig.from_pretrained(location, **LOADING)
    except (OSError, ValueError, KeyError) as error:
        known = ", ".join((*_QWEN25, *_DEEPSEEK_V3))
        raise ModelError(
            f"model: the configuration of {name} is neither here nor could it be fetched from the Hugging Face Hub "
            f"({type(error).__name__}); give a folder, or one that is known without: {known}"
        ) from error
