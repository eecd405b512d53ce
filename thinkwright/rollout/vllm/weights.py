"""The policy's weights as a folder that vLLM starts from, and reads again."""

import json
from pathlib import Path

from safetensors.torch import save_file
from transformers.utils.logging import disable_progress_bar

from thinkwright.models.policy import Policy


def write_weights(policy: Policy, folder: Path) -> None:
    """Write a Hugging Face folder without a tokenizer, its head never tied to its embeddings.

    vLLM's CPU build (0.32) keeps a packed copy of a tied head, which it does not make anew when weights are exchanged:
    it would go on sampling by the old head.
    """
    disable_progress_bar()
    # One file, so that there is no index, and files beside it are read as well.
    policy.model.save_pretrained(folder, max_shard_size="100TB")
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    if not config.get("tie_word_embeddings"):
        return
    head = policy.model.get_output_embeddings()
    name = next(name for name, module in policy.model.named_modules() if module is head)
    save_file({f"{name}.weight": head.weight.detach().contiguous().cpu()}, folder / "head.safetensors")
    config_file.write_text(json.dumps(config | {"tie_word_embeddings": False}), encoding="utf-8")
