"""What this machine can do: the floors are set against it. ``python -m bench.machine`` prints one JSON line."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

# Rows x inner x columns of the products that the workloads' model is made of, at a batch where speed is level.
PRODUCT = (4096, 256, 768)
COPIED_BYTES = 512 * 1024**2


def best_seconds(work: Callable[[], Any], repeats: int) -> float:
    """The shortest of several runs, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def product_gflops(dtype: torch.dtype) -> float:
    """Giga floating-point operations per second of a linear layer's matrix product."""
    rows, inner, columns = PRODUCT
    left, weight = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    seconds = best_seconds(lambda: torch.nn.functional.linear(left, weight), 60)
    return 2 * rows * inner * columns / seconds / 1e9


def copy_gigabytes_per_second() -> float:
    """Bytes read and written per second by a copy that no cache can hold."""
    source = torch.ones(COPIED_BYTES // 4)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / best_seconds(lambda: target.copy_(source), 10) / 1e9


def cpu_model() -> str:
    """The processor as the system names it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def facts() -> dict[str, Any]:
    """Everything about the machine that the results depend on."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "bf16_gflops": product_gflops(torch.bfloat16),
        "fp32_gflops": product_gflops(torch.float32),
        "memory_gb_per_second": copy_gigabytes_per_second(),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))
