"""Writes the model folders and the workload files: ``python -m bench.make_workloads FOLDER NAME...``.

Runs in the project's own environment, whose tokenizer trainer and template it uses.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from bench.models import sizes_of
from bench.workloads import PLANS, Shape, Workload, geometric_ends, question, write_workload
from thinkwright.chat.template import r1_zero_prompt
from thinkwright.models.tokenizer import train_tokenizer

TOKENIZER_ENTRIES = 512


def write_model(folder: Path, shape: Shape) -> None:
    """An ordinary Hugging Face folder with random weights; whole or not there."""
    tokenizer = train_tokenizer((r1_zero_prompt(question(1000 + i)) for i in range(200)), TOKENIZER_ENTRIES)
    config = Qwen3Config(
        **sizes_of(shape),
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    partial = folder.with_name(folder.name + ".partial")
    Qwen3ForCausalLM(config).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(folder)


def make(root: Path, name: str) -> None:
    """Write one workload, and its model unless an earlier call has."""
    plan = PLANS[name]
    shape = Shape(vocab_size=plan.vocab_size)
    folder = root / f"model-{plan.vocab_size}"
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        write_model(folder, shape)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [r1_zero_prompt(question(i)) for i in range(plan.num_prompts)]
    write_workload(
        root / f"workload-{name}.json",
        Workload(
            name=name,
            model=str(folder),
            shape=shape,
            prompts=prompts,
            prompt_ids=[tokenizer(prompt)["input_ids"] for prompt in prompts],
            ends=geometric_ends(plan),
        ),
    )


if __name__ == "__main__":
    for chosen in sys.argv[2:]:
        make(Path(sys.argv[1]), chosen)
