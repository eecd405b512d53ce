"""vLLM's CPU build: token ids in, one request per completion with its own ``max_tokens``, prefix caching on.

The prefix cache is emptied before each repetition, as new weights would empty it in training.
"""

import argparse

from vllm import LLM, SamplingParams
from vllm.inputs import TokensPrompt

from bench.arms.protocol import Channel, serve_rollouts
from bench.workloads import TEMPERATURE, read_workload


def main() -> None:
    """Serve repetitions until the parent is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    options = parser.parse_args()
    channel, workload = Channel(), read_workload(options.workload)
    rows = workload.rows
    settings = {
        "dtype": "bfloat16",
        "max_num_seqs": len(rows),
        "max_num_batched_tokens": 8192,
        "enable_prefix_caching": True,
    }
    engine = LLM(model=workload.model, max_model_len=workload.shape.max_positions, **settings)
    prompts = [TokensPrompt(prompt_token_ids=workload.prompt_ids[prompt]) for prompt, _ in rows]
    # logprobs=0 is the sampled token's alone, all that training needs.
    params = [
        SamplingParams(temperature=TEMPERATURE, max_tokens=end, ignore_eos=True, logprobs=0, detokenize=False)
        for _, end in rows
    ]

    def generate() -> list[int]:
        engine.reset_prefix_cache()
        outputs = engine.generate(prompts, params, use_tqdm=False)
        return [len(output.outputs[0].token_ids) for output in outputs]

    serve_rollouts(channel, {**settings, "logprobs": 0}, generate)


if __name__ == "__main__":
    main()
