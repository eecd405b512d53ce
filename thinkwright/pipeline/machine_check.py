"""What this machine brings: versions, processor, memory, compiler, sandbox, optional packages."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import time

import psutil
import torch
from packaging.requirements import Requirement

from thinkwright.config.recipe import Machine
from thinkwright.models.paged_kernel import COMPILERS
from thinkwright.pipeline.checks import Check

PACKAGE = "thinkwright"
MIN_FREE_BYTES = 2 << 30
_MATRIX, _SECONDS = 512, 0.1


def examine_machine() -> list[Check]:
    """One check for each thing that a run may want."""
    return [_python(), *_packages(), _processor(), _memory(), _speed(), _compiler(), _bubblewrap(), *_extras()]


def _python() -> Check:
    wanted = importlib.metadata.metadata(PACKAGE)["Requires-Python"] or ""
    is_new = Requirement(f"python{wanted}").specifier.contains(platform.python_version(), prereleases=True)
    remedy = "" if is_new else f"use Python {wanted}"
    return Check("python", "ok" if is_new else "failed", platform.python_version(), remedy)


def _packages() -> list[Check]:
    """Every package the core needs, against the range it was tested with."""
    checks: list[Check] = []
    for text in importlib.metadata.requires(PACKAGE) or []:
        requirement = Requirement(text)
        if requirement.marker is not None:
            continue
        version = _version(requirement.name)
        if version is None:
            checks.append(Check(requirement.name, "failed", "not installed", f"pip install '{requirement}'"))
        elif not requirement.specifier.contains(version, prereleases=True):
            found = f"{version}, tested with {requirement.specifier}"
            checks.append(Check(requirement.name, "failed", found, f"pip install '{requirement}'"))
        elif requirement.name in ("torch", "transformers"):
            checks.append(Check(requirement.name, "ok", f"{version} ({requirement.specifier})"))
    return checks


def _extras() -> list[Check]:
    """Packages of the optional extras but the developers': what each is missing for."""
    wanted: dict[str, list[str]] = {}
    for text in importlib.metadata.requires(PACKAGE) or []:
        requirement = Requirement(text)
        for extra in importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []:
            if extra != "dev" and requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
                wanted.setdefault(extra, []).append(requirement.name)
    checks: list[Check] = []
    for extra, names in wanted.items():
        missing = [name for name in names if _version(name) is None]
        found = f"without {', '.join(missing)}" if missing else ", ".join(f"{name} {_version(name)}" for name in names)
        remedy = f"pip install '{PACKAGE}[{extra}]' if a recipe asks for it" if missing else ""
        checks.append(Check(f"extra {extra}", "warning" if missing else "ok", found, remedy))
    return checks


def _processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = Machine().threads
    device = "CUDA" if torch.cuda.is_available() else "MPS" if torch.backends.mps.is_available() else "none"
    return Check(
        "processor",
        "ok" if cores >= threads else "warning",
        f"{cores} cores for this process; accelerator: {device}",
        "" if cores >= threads else f"set machine.threads={cores}: more threads than cores are slower",
    )


def _memory() -> Check:
    memory = psutil.virtual_memory()
    is_enough = memory.available >= MIN_FREE_BYTES
    found = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB"
    remedy = "" if is_enough else "under 2 GiB: close other programs, or set rollout.memory_gb"
    return Check("memory", "ok" if is_enough else "warning", found, remedy)


def _speed() -> Check:
    speeds = {dtype: _billions_a_second(dtype) for dtype in (torch.float32, torch.bfloat16)}
    shown = ", ".join(f"{str(dtype).removeprefix('torch.')} {speed:.0f}" for dtype, speed in speeds.items())
    faster = max(speeds, key=lambda dtype: speeds[dtype])
    name = str(faster).removeprefix("torch.")
    return Check("matrix products", "ok", f"{shown} GFLOP/s on the processor ({name} is faster)")


def _billions_a_second(dtype: torch.dtype) -> float:
    """The best of the products that fit into a tenth of a second."""
    left, right = (torch.ones(_MATRIX, _MATRIX, dtype=dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - start)
    return 2 * _MATRIX**3 / best / 1e9


def _compiler() -> Check:
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found:
        return Check("compiler", "ok", found)
    remedy = "install g++ or clang++: sampling on a CPU is slower without (same results)"
    return Check("compiler", "warning", f"none of {', '.join(COMPILERS)}", remedy)


def _bubblewrap() -> Check:
    """Programs a model wrote run in it; it also needs a kernel that lets users make namespaces."""
    path = shutil.which("bwrap")
    remedy = "only tasks that run programs need it: apt install bubblewrap, or dnf install bubblewrap"
    if path is None:
        return Check("bubblewrap", "warning", "not installed", remedy)
    command = [path, "--ro-bind", "/", "/", "--unshare-all", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("bubblewrap", "warning", f"{path} does not run ({error})", remedy)
    if done.returncode:
        found = f"{path} cannot make a sandbox: {done.stderr.strip()[:120]}"
        return Check("bubblewrap", "warning", found, "allow user namespaces; only tasks that run programs need it")
    return Check("bubblewrap", "ok", path)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
