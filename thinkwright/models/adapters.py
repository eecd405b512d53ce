"""Low-rank adapters (LoRA, arXiv:2106.09685), by peft: what is trained instead of the weights.

The policy that learns keeps the weights as they were and has adapters in fp32 beside them. The policy that samples is
another object whose weights are the sums, so that every engine, file and export sees an ordinary model. What is not
adapted (embeddings, norms, head) the two share.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thinkwright.config.lora import LoRASettings
from thinkwright.errors import ModelError
from thinkwright.models.policy import Outputs, Policy

_NAME = "default"
_HEAD = "score"
"""A reward model's head, which is new and trained whole."""


def with_adapters(policy: Policy, settings: LoRASettings, seed: int) -> Policy:
    """A policy that computes what this one does, and learns by adapters alone; they begin as nothing.

    Raises ModelError without peft.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ModelError('lora: peft is not installed; pip install "thinkwright[lora]"') from error

    linears = {name for name, module in policy.model.get_decoder().named_modules() if isinstance(module, nn.Linear)}
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=0.0,
        target_modules=sorted({name.rsplit(".", 1)[-1] for name in linears}),
    )
    adapted = {f"{name}.weight" for name in linears}
    memo = {
        id(param): param
        for name, param in policy.model.named_parameters()
        if not any(name.endswith(other) for other in adapted)
    }
    model = copy.deepcopy(policy.model, memo)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, adapter_name=_NAME)
    for name, param in model.named_parameters():
        is_adapter = ".lora_" in name
        if is_adapter:
            param.data = param.data.float()
        elif name.startswith(f"{_HEAD}."):
            continue
        param.requires_grad_(is_adapter)
    return Policy(model.eval(), policy.tokenizer, policy.device)


def merged_weights(model: nn.Module) -> dict[str, Callable[[], Tensor]]:
    """How to get each weight by its name in the model without adapters: theirs added, in fp32; whole, if spread."""
    modules = dict(model.named_modules())
    found: dict[str, Callable[[], Tensor]] = {}
    for name, param in model.named_parameters():
        if ".lora_" in name:
            continue
        owner: Any = modules[name.rpartition(".base_layer")[0]] if ".base_layer." in name else None
        is_adapted = owner is not None and name.endswith(".base_layer.weight")
        plain = name.replace(".base_layer.", ".")
        found[plain] = _merger(param, owner) if is_adapted else _getter(param)
    return found


def _getter(param: Tensor) -> Callable[[], Tensor]:
    return lambda: param.detach()


def _merger(param: Tensor, layer: Any) -> Callable[[], Tensor]:
    def merge() -> Tensor:
        up, down = (_whole(factors[_NAME].weight.detach()) for factors in (layer.lora_B, layer.lora_A))
        return _whole(param.detach()).float() + (up @ down) * layer.scaling[_NAME]

    return merge


def _whole(value: Any) -> Tensor:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def add_to(policy: Policy, weights: dict[str, Tensor], settings: LoRASettings) -> None:
    """Add adapters, by their names in a checkpoint, to the weights that they were trained beside."""
    params = dict(policy.model.named_parameters())
    with torch.no_grad():
        for name, down in weights.items():
            if f".lora_A.{_NAME}" not in name:
                continue
            up = weights[name.replace(".lora_A.", ".lora_B.")]
            param = params[name.replace(f".lora_A.{_NAME}", "")]
            param.copy_(param.float().cpu() + (up @ down) * (settings.alpha / settings.rank))


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights by name."""
    return {name: param for name, param in model.named_parameters() if ".lora_" in name}


@dataclass(frozen=True)
class ReferenceAdapters(Policy):
    """A reference policy that is the learner with other adapters: it costs the memory of these alone."""

    kept: dict[str, Tensor]
    """The adapters' weights, by name."""

    def renew(self) -> None:
        """Become what the learner is now."""
        for name, param in adapter_tensors(self.model).items():
            self.kept[name].copy_(param.detach())

    @torch.no_grad()
    def in_one_pass(self, compute: Callable[[], Outputs]) -> Outputs:
        """See ``Policy``."""
        self._exchange()
        try:
            return compute()
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, param in adapter_tensors(self.model).items():
            param.data, self.kept[name] = self.kept[name], param.data


def reference_of_adapters(learner: Policy) -> ReferenceAdapters:
    """A reference policy that is what the learner is now."""
    kept = {name: param.detach().clone() for name, param in adapter_tensors(learner.model).items()}
    return ReferenceAdapters(learner.model, learner.tokenizer, learner.device, kept)


def whole_adapters(learner: Policy) -> dict[str, Tensor]:
    """The adapters' weights as peft names them in a file; where they are spread over ranks, all must take part."""
    return {
        f"base_model.model.{name.replace(f'.{_NAME}', '')}": _whole(param.detach()).cpu().contiguous()
        for name, param in adapter_tensors(learner.model).items()
    }


def write_adapter(learner: Policy, tensors: dict[str, Tensor], folder: Path, base: str) -> None:
    """Write adapters as peft does, for programs that load them beside the base model."""
    from safetensors.torch import save_file

    config: Any = copy.copy(learner.model.peft_config[_NAME])
    config.base_model_name_or_path, config.inference_mode, config.task_type = base, True, "CAUSAL_LM"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config.save_pretrained(str(folder))


def is_adapted(model: nn.Module) -> bool:
    """Whether the model has adapters."""
    return next(iter(adapter_tensors(model)), None) is not None
