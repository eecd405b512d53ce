"""The servers that ``bench.serve`` compares: how each is started, watched and ended."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import LOAD_SECONDS, ROOT, THREADS, ArmError, session_cpu_seconds, session_stat_fields

OURS, VLLM = ROOT / ".venv" / "bin" / "python", ROOT / ".venv-bench-vllm" / "bin" / "python"
POSITIONS = 1024
"""The model's context."""
_END_SECONDS = 60
_VLLM_VARIABLES = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CACHE_ROOT": str(ROOT / "build" / "bench" / "vllm-cache"),
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class ServerArm:
    """How to start a server."""

    command: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Models:
    """One model in the forms that the servers read."""

    run: Path
    gguf: Path
    hf: Path


def server_arms(models: Models, slots: int, port: int, threads: int) -> dict[str, ServerArm]:
    """All servers by name, each with a slot for every client and with so many threads."""
    ours = ("-m", "thinkwright", "serve", str(models.run), "--port", str(port), "--slots", str(slots))
    llama = ("-m", "bench.arms.llama_server", str(models.gguf), "--slots", str(slots))
    vllm = ("-m", "vllm.entrypoints.openai.api_server", "--model", str(models.hf), "--served-model-name", "demo")
    return {
        "thinkwright": ServerArm(
            (str(OURS), *ours, "--engines", str(threads), "--threads", "1"),
            {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
        ),
        "llama.cpp": ServerArm((str(OURS), *llama, "--positions", str(POSITIONS), "--threads", str(threads))),
        "vllm": ServerArm(
            (
                *(str(VLLM), *vllm, "--host", "127.0.0.1", "--port", str(port), "--dtype", _fastest_dtype()),
                *("--max-num-seqs", str(slots), "--max-num-batched-tokens", "8192", "--disable-uvicorn-access-log"),
            ),
            {**_VLLM_VARIABLES, "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}", "OMP_NUM_THREADS": str(threads)},
        ),
    }


def _fastest_dtype() -> str:
    """bf16 only where this machine multiplies faster in it, for vLLM as for ours."""
    from thinkwright.models.policy import choose_device, choose_dtype

    return str(choose_dtype("auto", choose_device("cpu"))).removeprefix("torch.")


class RunningServer:
    """A server that answers. It leads a session of its own, by which its helper processes are found."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, model: str) -> None:
        self._process, self.address, self.model = process, address, model

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far, its helper processes with it."""
        return session_cpu_seconds(self._process.pid)

    def resident_bytes(self) -> int:
        """Memory that its processes hold now."""
        pages = sum(int(fields[21]) for fields in session_stat_fields(self._process.pid).values())
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running_server(name: str, arm: ServerArm, port: int, log: Path) -> Iterator[RunningServer]:
    """Start a server and wait until it answers. Raises ArmError if it does not."""
    if not Path(arm.command[0]).exists():
        raise ArmError(f"{name}: {arm.command[0]} is missing; run make bench-envs")
    log.parent.mkdir(parents=True, exist_ok=True)
    shared = {"OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            arm.command,
            cwd=ROOT,
            env={**os.environ, **shared, **arm.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if name == "llama.cpp" else errors,
            stderr=errors,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        if process.stdout is not None:
            address = process.stdout.readline().decode().strip()
        yield RunningServer(process, address, _wait_for_model(name, process, address, log))
    finally:
        _end(process)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for_model(name: str, process: subprocess.Popen[bytes], address: str, log: Path) -> str:
    """The name by which it knows its model."""
    deadline = time.monotonic() + LOAD_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, ValueError), urllib.request.urlopen(f"{address}/v1/models", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
            return found["data"][0]["id"]
        time.sleep(0.5)
    raise ArmError(f"{name}: does not answer; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; what is left of its session then is killed."""
    assert process.stdin is not None
    process.stdin.close()
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    for pid in session_stat_fields(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
