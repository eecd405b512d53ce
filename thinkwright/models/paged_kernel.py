"""Paged attention of sampling on a CPU as one compiled call (``paged_kernel.cpp``), where a C++ compiler is at hand.

The torch operations of ``paged_attention.py`` do the same anywhere; on a CPU they spend most of their time on being
many. The kernel is compiled for this processor at its first use, takes a few seconds, and is kept in the user's cache
folder. Without a compiler the torch operations are used, and a log line says so.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from thinkwright.models.key_value_store import PAGE, DecodePlan, KeyValueStore

SOURCE = Path(__file__).with_name("paged_kernel.cpp")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-std=c++17", "-fopenmp", "-shared", "-fPIC")
COMPILE_SECONDS = 120
_log = logging.getLogger(__name__)


class KernelContext:
    """The attention context of one decoding step, computed by the compiled kernel."""

    def __init__(self, store: KeyValueStore, plan: DecodePlan) -> None:
        self._store, self._plan = store, plan
        tables = plan.row_prompts, plan.prefix_lengths, plan.prompt_lengths, plan.own_lengths, plan.page_table
        self._tables = [torch.from_numpy(table) for table in tables]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Output (B, 1, H, D) for query (B, H, 1, D) and key, value (B, K, 1, D); keeps the key and value."""
        store, plan = self._store, self._plan
        num_rows, num_heads, _, size = query.shape
        num_kv = key.shape[1]
        out = query.new_empty(num_rows, 1, num_heads, size)
        sizes = (
            num_rows, len(plan.row_prompts), num_kv, num_heads // num_kv, store.prefix[layer][0].shape[1],
            store.prompt_keys.shape[3], plan.page_table.shape[1], PAGE, size,
        )  # fmt: skip
        tensors = (
            query.contiguous(), key.contiguous(), value.contiguous(), *store.prefix[layer],
            store.prompt_keys[layer], store.prompt_values[layer], store.page_keys[layer], store.page_values[layer],
            *self._tables, out,
        )  # fmt: skip
        assert all(tensor.is_contiguous() for tensor in tensors), "the kernel walks plain rows"
        assert {query.dtype, key.dtype, value.dtype} == {store.page_keys.dtype}, "one dtype for all"
        library = compiled()
        assert library is not None, "is_available was asked before"
        pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
        library.thinkwright_attend(
            (ctypes.c_int64 * len(sizes))(*sizes), pointers, ctypes.c_float(scaling), query.dtype == torch.bfloat16
        )
        return out


def is_available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernel can be used: a CPU, fp32 or bf16, and a compiler."""
    return device.type == "cpu" and dtype in (torch.float32, torch.bfloat16) and compiled() is not None


@cache
def compiled() -> ctypes.CDLL | None:
    """The kernel's library, compiled now if it is not there yet; None where it cannot be."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        _log.warning("no C++ compiler (%s): sampling on the CPU is slower", ", ".join(COMPILERS))
        return None
    target = cache_folder() / f"paged_kernel_{_fingerprint(compiler)}.so"
    try:
        if not target.exists():
            _compile(compiler, target)
        library = ctypes.CDLL(str(target))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        _log.warning(
            "the C++ kernel could not be compiled (%s %s): sampling on the CPU is slower", error, said[-300:].decode()
        )
        return None
    # Older gcc makes a library built with -ffast-math switch denormal numbers off for whoever loads it.
    torch.set_flush_denormal(False)
    return library


def cache_folder() -> Path:
    """Where compiled kernels are kept, by the XDG rule."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thinkwright"


def _fingerprint(compiler: str) -> str:
    """Changes with the source, the flags, the compiler and the processor."""
    processor = platform.processor() + platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        processor += next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    parts = SOURCE.read_text(encoding="utf-8"), " ".join(FLAGS), os.path.realpath(compiler), processor
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def _compile(compiler: str, target: Path) -> None:
    """Whole or not at all, also when several processes compile at the same time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_SECONDS)
        os.replace(made, target)
