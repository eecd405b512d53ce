"""The least time that a workload can take: matrix products at the measured speed, bytes at the measured bandwidth.

Counted are the layers' and the head's matrix products, attention's own not; each prompt once, as if its group shared
it. The head works on completion tokens alone.
"""

from bench.workloads import Shape, Workload

BYTES_PER_VALUE = 2
"""Of weights and cache, in bf16."""
OPTIMIZER_BYTES = 4 * 7 + BYTES_PER_VALUE
"""Per weight: gradient, master and AdamW's two moments read, the latter three written, in fp32; the weight written."""


def forward_flops(workload: Workload) -> float:
    """Floating-point operations of one forward pass over prompts and completions."""
    shape = workload.shape
    in_layers = shape.layer_weights * (workload.num_prompt_tokens + workload.num_tokens)
    return 2.0 * (in_layers + shape.head_weights * workload.num_tokens)


def rollout_bytes(workload: Workload) -> float:
    """Bytes read by decoding: the weights once per position, each prompt's cache once per position, own caches."""
    shape = workload.shape
    per_token = shape.cache_values * BYTES_PER_VALUE
    weights = workload.longest * weight_bytes(shape)
    prompts = sum(len(ids) * max(ends) for ids, ends in zip(workload.prompt_ids, workload.ends, strict=True))
    own = sum(end * (end - 1) // 2 for _, end in workload.rows)
    return float(weights + per_token * (prompts + own))


def weight_bytes(shape: Shape) -> int:
    """Bytes of the weights as the model computes with them."""
    return BYTES_PER_VALUE * (shape.layer_weights + shape.head_weights)


def floors(workload: Workload, gflops: float, gigabytes_per_second: float) -> dict[str, float]:
    """Seconds that rollouts and update cannot go below. The backward pass costs two forward passes."""
    forward = forward_flops(workload) / (gflops * 1e9)
    weights = workload.shape.layer_weights + workload.shape.head_weights
    return {
        "rollout_product_seconds": forward,
        "rollout_bytes_seconds": rollout_bytes(workload) / (gigabytes_per_second * 1e9),
        "update_product_seconds": 3 * forward,
        "update_bytes_seconds": weights * OPTIMIZER_BYTES / (gigabytes_per_second * 1e9),
    }
