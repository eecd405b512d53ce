"""transformers' continuous batching, each request with its own ``max_new_tokens``.

As in ``generate_batch``, the manager is made anew for every call; cache and batch sizes are fixed, since what it would
choose by itself is half of the machine's memory.
"""

import argparse
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.generation import ContinuousBatchingConfig

from bench.arms.protocol import Channel, serve_rollouts
from bench.workloads import TEMPERATURE, Workload, read_workload

ROWS_AT_ONCE, PAGE_SIZE = 16, 32
"""More rows at once are slower here: every row's attention spans the cache of all."""
WAIT_SECONDS = 60


def cache_settings(workload: Workload) -> dict[str, Any]:
    """Room for ``ROWS_AT_ONCE`` completions and no more: attention masks span all that is in the cache."""
    longest = max(map(len, workload.prompt_ids)) + workload.longest
    return {
        "page_size": PAGE_SIZE,
        "num_blocks": ROWS_AT_ONCE * -(-longest // PAGE_SIZE),
        "max_batch_tokens": 4 * max(ROWS_AT_ONCE, PAGE_SIZE),
        "max_requests_per_batch": ROWS_AT_ONCE,
        "allow_block_sharing": True,
        "use_cuda_graph": False,
        "seed": 0,
    }


@torch.no_grad()
def generate_rows(
    model: PreTrainedModel,
    prompts: list[list[int]],
    ends: list[int],
    sampling: GenerationConfig,
    config: ContinuousBatchingConfig,
) -> dict[str, Any]:
    """What ``generate_batch`` returns and does, but for a limit of its own per request."""
    finished: dict[str, Any] = {}
    context = model.continuous_batching_context_manager(
        generation_config=sampling, continuous_batching_config=config, timeout=WAIT_SECONDS
    )
    with context as manager:
        names = [
            manager.add_request(prompt, max_new_tokens=end, eos_token_id=-1)
            for prompt, end in zip(prompts, ends, strict=True)
        ]
        while len(finished) < len(names):
            result = manager.get_result(timeout=WAIT_SECONDS)
            if result is None:
                raise RuntimeError(f"the batching manager gave no result for {WAIT_SECONDS} seconds")
            if result.is_finished():
                finished[result.request_id] = result
    return {name: finished[name] for name in names}


def main() -> None:
    """Serve repetitions until the parent is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), required=True)
    options = parser.parse_args()
    channel, workload = Channel(), read_workload(options.workload)
    model = AutoModelForCausalLM.from_pretrained(
        workload.model, dtype=getattr(torch, options.dtype), attn_implementation="sdpa"
    ).eval()
    sampling = GenerationConfig(
        do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0, max_new_tokens=workload.longest
    )
    settings = cache_settings(workload)
    prompts = [workload.prompt_ids[prompt] for prompt, _ in workload.rows]
    ends = [end for _, end in workload.rows]

    def generate() -> list[int]:
        results = generate_rows(model, prompts, ends, sampling, ContinuousBatchingConfig(**settings))
        return [len(result.generated_tokens) for result in results.values()]

    serve_rollouts(channel, {"dtype": options.dtype, "attention": "sdpa", **settings}, generate)


if __name__ == "__main__":
    main()
