"""A policy: a decoder-only transformers model with our attention plugged in, and its tokenizer."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.logging import disable_progress_bar

from thinkwright.errors import ModelError, RunFolderError
from thinkwright.models.attention import (
    ATTENTION_NAME,
    AttentionContext,
    attention_forward,
)
from thinkwright.models.flex_attention import FlexContext
from thinkwright.models.logprobs import logits_from_hidden
from thinkwright.models.model_folder import LOADING, WEIGHTS, check_model_folder
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.token_tree import TokenTree, pack_rows

AttentionInterface.register(ATTENTION_NAME, attention_forward)
Outputs = TypeVar("Outputs")
_LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError)


@dataclass(frozen=True)
class Policy:
    """One model object for sampling and for the update, with its tokenizer."""

    model: Any
    tokenizer: Any
    device: torch.device

    @property
    def head(self) -> Tensor:
        """Weight (V, E) of the language-model head."""
        return self.model.get_output_embeddings().weight

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Token ids that end a completion: the tokenizer's end token and those the model's generation config adds."""
        listed = self.model.generation_config.eos_token_id
        extra = [listed] if isinstance(listed, int) else list(listed or [])
        return tuple(dict.fromkeys([int(self.tokenizer.eos_token_id), *extra]))

    def encode(self, text: str) -> tuple[int, ...]:
        """The token ids of a text, without any that the tokenizer would add."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the weights are kept and multiplied in."""
        return self.model.dtype

    @property
    def max_positions(self) -> int:
        """Tokens of prompt and completion together that the model was made for."""
        return int(self.model.config.max_position_embeddings)

    @cached_property
    def _params(self) -> tuple[Tensor, ...]:
        return tuple(self.model.parameters())

    def weights_version(self) -> int:
        """Grows whenever a weight is written to: torch counts the writes of every tensor."""
        return sum(param._version for param in self._params)

    def in_one_pass(self, compute: Callable[[], Outputs]) -> Outputs:
        """What ``compute`` makes of the weights, tensors; a policy spread over processes gathers its weights for it.

        All passes with gradients go through here.
        """
        return compute()

    def hidden_states(self, tokens: Tensor, positions: Tensor, context: AttentionContext) -> Tensor:
        """Final hidden states (B, T, E) of tokens (B, T) at positions (B, T)."""
        decoder = self.model.get_decoder()
        output = decoder(input_ids=tokens, position_ids=positions, use_cache=False, attention_context=context)
        return output.last_hidden_state

    def packed_hidden_states(self, tree: TokenTree, context: AttentionContext) -> Tensor:
        """Final hidden states (N, E) of all tokens of a packed tree."""
        tokens, positions = (torch.tensor([ids], device=self.device) for ids in (tree.tokens, tree.positions))
        return self.hidden_states(tokens, positions, context)[0]

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder that ``AutoModelForCausalLM`` loads, whole or not at all.

        Raises RunFolderError if it cannot be written.
        """
        disable_progress_bar()
        partial = folder.with_name(f".{folder.name}.partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            self.model.save_pretrained(partial)
            self.tokenizer.save_pretrained(partial)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise RunFolderError(
                f"{folder}: cannot write the model ({error}); free space there, then --resume"
            ) from error


def training_context(tree: TokenTree, device: torch.device) -> AttentionContext:
    """The attention context of a packed pass with gradients, of the kind that is fastest on the device."""
    return FlexContext(tree, device) if device.type == "cuda" else PackedContext(tree, device)


def recompute_activations(policy: Policy) -> None:
    """Make passes with gradients keep only the layers' inputs. Raises ModelError if the model cannot."""
    try:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    except ValueError as error:
        raise ModelError(f"{error} Set recompute_activations = false") from error
    for module in policy.model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            # Only the layer itself, which recomputes in training alone: its parts stay in evaluation, without dropout.
            module.training = True


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU; anything else is used as given."""
    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"machine.device: {name!r} cannot be used here ({error}); use auto or cpu") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` takes bf16 where the hardware is measured to multiply faster in it, else fp32."""
    if name != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu":
        seconds = _matmul_seconds((torch.bfloat16, torch.float32))
        return torch.bfloat16 if seconds[torch.bfloat16] * 1.2 < seconds[torch.float32] else torch.float32
    return torch.float32


@cache
def _matmul_seconds(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Best of many products, measured once a process; processors with bf16 instructions differ tenfold in what these
    bring.

    The dtypes take turns over a quarter of a second, so that another program's work does not decide.
    """
    factors = {dtype: (torch.ones(512, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)) for dtype in dtypes}
    best, end = dict.fromkeys(dtypes, float("inf")), time.perf_counter() + 0.25
    while time.perf_counter() < end:
        for dtype, (left, right) in factors.items():
            start = time.perf_counter()
            torch.mm(left, right)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best


def load_policy(name: str, *, device: torch.device, dtype: torch.dtype) -> Policy:
    """Load a Hugging Face folder or Hub name; raises ModelError naming it and the remedy."""
    disable_progress_bar()
    check_model_folder(Path(name).expanduser())
    try:
        config = AutoConfig.from_pretrained(name, **LOADING)
        tokenizer = AutoTokenizer.from_pretrained(name, config=config, **LOADING)
    except _LOADING_ERRORS as error:
        raise ModelError(_cannot_load(name, error)) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{name}: its tokenizer has no end token, so a completion could never end; set eos_token")
    _refuse_unsupported(name, config)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name, config=config, dtype=dtype, attn_implementation=ATTENTION_NAME, output_loading_info=True, **WEIGHTS
        )
        model, report = loaded
    except _LOADING_ERRORS as error:
        raise ModelError(_cannot_load(name, error)) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        raise ModelError(f"{name}: weights are missing or have another shape: {_listed(report)}; the folder is damaged")
    policy = Policy(model.to(device).eval(), tokenizer, device)
    try:
        _check_attention(name, policy)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(f"{name}: its attention is not plain causal attention ({error})") from error
    return policy


def _cannot_load(name: str, error: Exception) -> str:
    if Path(name).exists():
        return f"{name}: cannot be loaded as a Hugging Face model folder ({error})"
    return (
        f"{name}: no such folder, and it could not be fetched from the Hugging Face Hub; "
        f"check the spelling and the network, or give a local folder ({type(error).__name__})"
    )


def _listed(report: dict[str, Any]) -> str:
    return ", ".join(map(str, sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))[:3]))


def _refuse_unsupported(name: str, config: Any) -> None:
    window = getattr(config, "sliding_window", None)
    if window and not hasattr(config, "layer_types") and window < config.max_position_embeddings:
        raise ModelError(f"{name}: attention over a sliding window of {window} tokens is not supported")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ModelError(
            f"{name}: layers of type {sorted(kinds - {'full_attention'})} are not supported, only full attention"
        )


@torch.no_grad()
def _check_attention(name: str, policy: Policy) -> None:
    """Our attention and head must give what the model's own give: sinks, soft caps, scaled logits are refused."""
    size = policy.model.config.vocab_size
    tokens = (torch.arange(8, device=policy.device) * 37 % size)[None]
    tree = pack_rows([tokens[0].tolist()], first_position=0)
    ours = policy.packed_hidden_states(tree, PackedContext(tree, policy.device))[None]
    policy.model.set_attn_implementation("eager")
    own = policy.model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state
    own_logits = policy.model(input_ids=tokens, use_cache=False).logits
    policy.model.set_attn_implementation(ATTENTION_NAME)
    tolerance = 2e-3 if own.dtype == torch.float32 else 8e-2
    if not (error := _relative_error(ours, own)) < tolerance:
        raise ModelError(f"{name}: its attention is not plain causal attention (outputs differ by {error:.1e})")
    if not (error := _relative_error(logits_from_hidden(own, policy.head.float()), own_logits)) < tolerance:
        raise ModelError(f"{name}: its head is not a plain matrix without bias or scale (logits differ by {error:.1e})")


def _relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max().clamp(min=1e-6))
