"""transformers' ``generate``: one static batch, left-padded, as long as its longest row."""

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.arms.ends import ForcedEnds
from bench.arms.protocol import Channel, serve_rollouts
from bench.workloads import TEMPERATURE, read_workload


def main() -> None:
    """Serve repetitions until the parent is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), required=True)
    options = parser.parse_args()
    channel, workload = Channel(), read_workload(options.workload)
    tokenizer = AutoTokenizer.from_pretrained(workload.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(
        workload.model, dtype=getattr(torch, options.dtype), attn_implementation="sdpa"
    ).eval()
    rows = workload.rows
    inputs = tokenizer([workload.prompts[i] for i, _ in rows], padding=True, return_tensors="pt")
    width, ends = inputs["input_ids"].shape[1], [end for _, end in rows]

    @torch.no_grad()
    def generate() -> list[int]:
        output = model.generate(
            **inputs,
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=0,
            top_p=1.0,
            max_new_tokens=workload.longest,
            logits_processor=[ForcedEnds(ends, width, tokenizer.eos_token_id)],
        )
        is_end = output[:, width:] == tokenizer.eos_token_id
        return (is_end.int().argmax(1) + 1).tolist()

    serve_rollouts(channel, {"dtype": options.dtype, "attention": "sdpa", "rows": len(rows)}, generate)


if __name__ == "__main__":
    main()
