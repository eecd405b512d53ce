"""The model that is exported: found, loaded in its own dtype, and how it is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from thinkwright.chat.formats import ChatFormat, chat_format, own_format
from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import ModelError
from thinkwright.export.run_facts import RunFacts, read_run
from thinkwright.models.model_folder import LOADING
from thinkwright.models.policy import Policy
from thinkwright.models.reward_model import READING_FILE
from thinkwright.models.shipped import SHIPPED, resolve_model_name
from thinkwright.pipeline.model_source import ModelSource, find_model, load_source


@dataclass(frozen=True)
class Subject:
    """A loaded model and what is known of it."""

    name: str
    policy: Policy
    chat: ChatFormat
    facts: RunFacts


def find_subject(text: str) -> tuple[ModelSource, Any]:
    """Where the model is, and its transformers configuration. Raises ModelError for what cannot be exported."""
    source = find_model(text)
    if source.endpoint is not None:
        raise ModelError(f"{text}: a served model's weights are with its server; give a folder, a run or a Hub name")
    location = resolve_model_name(source.location)
    if (Path(location) / READING_FILE).exists():
        raise ModelError(f"{text}: is a reward model, which scores texts and writes none; give the policy it judged")
    try:
        return source, AutoConfig.from_pretrained(location, **LOADING)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{text}: its config.json cannot be read ({error}); give a Hugging Face model folder"
        ) from error


def load_subject(source: ModelSource, config: Any, name: str | None, template: str | None) -> Subject:
    """Load the weights, on the CPU and as they were stored. Raises ModelError if it is not known how to ask it."""
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    policy = load_source(source, device=torch.device("cpu"), dtype=dtype)
    facts = read_run(source.run, source.checkpoint)
    if source.location in SHIPPED:
        facts = RunFacts(base=source.location, languages=("en", "zh"))
    return Subject(name or source.name, policy, _chat(source, policy, template), facts)


def _chat(source: ModelSource, policy: Policy, template: str | None) -> ChatFormat:
    chosen = template or source.template
    if chosen is not None:
        if chosen not in TEMPLATES:
            raise ModelError(f"template {chosen}: there is none of this name, only {', '.join(TEMPLATES)}")
        return chat_format(chosen, policy.tokenizer.eos_token)
    if (own := policy.tokenizer.chat_template) and isinstance(own, str):
        return own_format(own)
    raise ModelError(
        f"{source.name}: nothing says how it was asked in training, and it brings no chat template; say it with "
        f"--template {' or '.join(TEMPLATES)}"
    )
