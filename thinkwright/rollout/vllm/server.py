"""One vLLM server: started in its own environment, told to take new weights, started again when it has died.

Every wait has a deadline, so that a server that hangs is found. Weights reach it as a Hugging Face folder; their
version is set last, and read back, so a server that missed an update can never pass for one that has it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from thinkwright.config.vllm import VLLMSettings
from thinkwright.errors import EndpointError, ModelError

NAME = "policy"
"""What the servers call the model."""
_KEEPER = Path(__file__).with_name("keeper.py")
_LOOK_SECONDS, _END_SECONDS = 0.5, 15.0
REACH_SECONDS = 60.0
"""The longest wait for a server that should be there already."""
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` may be."""
_MAX_ADAPTERS = 4
"""Versions whose completions may run together; others wait."""


def adapter_name(version: int) -> str:
    """What servers call the adapters of a policy version."""
    return f"{NAME}-{version}"


@dataclass(frozen=True)
class Launch:
    """How a server of this machine is started."""

    settings: VLLMSettings
    dtype: str
    max_positions: int
    gpus: tuple[int, ...]
    """Empty on a CPU."""
    threads: int
    log: Path
    lora_rank: int | None = None
    """Of the adapters it will be given; None for whole weights."""

    def command(self, model: Path, port: int) -> list[str]:
        """The command line."""
        python = Path(self.settings.environment).expanduser() / "bin" / "python"
        if not python.is_file():
            raise ModelError(f"rollout.vllm.environment: {python} is missing; make it with: thinkwright install-vllm")
        flags = {
            "model": model,
            "served-model-name": NAME,
            "host": "127.0.0.1",
            "port": port,
            "dtype": self.dtype,
            "max-model-len": self.max_positions,
            "max-num-seqs": self.settings.slots,
            "logprobs-mode": "processed_logprobs",
            "tensor-parallel-size": self.settings.gpus_per_server,
        }
        if self.gpus:
            flags["gpu-memory-utilization"] = self.settings.memory_share
        switches = ["--tokens-only", "--enable-prefix-caching", "--disable-uvicorn-access-log"]
        if self.lora_rank is not None:
            fitting = next((rank for rank in _LORA_RANKS if rank >= self.lora_rank), self.lora_rank)
            flags |= {"max-lora-rank": fitting, "max-loras": _MAX_ADAPTERS}
            switches.append("--enable-lora")
        if not self.gpus:
            switches.append("--enforce-eager")  # compiling takes longer there than it saves
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        return [str(python), "-m", "vllm.entrypoints.openai.api_server", *words, *switches]

    def variables(self) -> dict[str, str]:
        """Environment variables beside this process's own."""
        found = {
            "VLLM_SERVER_DEV_MODE": "1",  # the endpoints for new weights
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
            "TOKENIZERS_PARALLELISM": "false",
        }
        if self.gpus:
            return found | {"CUDA_VISIBLE_DEVICES": ",".join(map(str, self.gpus))}
        return found | {
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(self.settings.cache_gb))),
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{self.threads - 1}",
            "OMP_NUM_THREADS": str(self.threads),
        }


class VLLMServer:
    """A server that answers, ours or somebody else's."""

    def __init__(self, settings: VLLMSettings, launch: Launch | None, url: str = "") -> None:
        """``launch``: how it is started; None for one that is there already, at ``url``."""
        self._settings, self._launch = settings, launch
        self.url = url.rstrip("/").removesuffix("/v1")
        self._process: subprocess.Popen[bytes] | None = None
        self.lock = threading.RLock()
        """Held while it is started again, or takes weights."""
        self.num_starts = 0
        self.version = -1
        """Of the weights that it was last given."""

    def start(self, model: Path) -> None:
        """Start it with the weights of a folder; returns at once. Raises ModelError without vLLM."""
        if self._launch is None:
            return
        self.num_starts += 1
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = self._launch.command(model, port)
        self._launch.log.parent.mkdir(parents=True, exist_ok=True)
        with self._launch.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(_KEEPER), *command],
                env={**_own_variables(), **self._launch.variables()},
                stdin=subprocess.PIPE,  # held open until we end
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers. Raises EndpointError if it ends, or not in time."""
        seconds = self._settings.start_seconds if self._launch else REACH_SECONDS
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise EndpointError(
                    f"vLLM ended at its start with status {self._process.returncode}; {self.where_to_look()}"
                )
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return
            time.sleep(_LOOK_SECONDS)
        key = "rollout.vllm.start_seconds" if self._launch else "rollout.vllm.urls"
        raise EndpointError(f"{self.url}: vLLM did not answer within {seconds:g} s ({key}); {self.where_to_look()}")

    def take_weights(self, folder: Path, version: int) -> None:
        """Exchange the weights. Completions that run stand still meanwhile; then they go on, what they have read and
        written read anew by the new weights. Raises EndpointError if that fails."""
        self._control("POST", "/pause?mode=keep")
        self._control("POST", "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        self._control("POST", "/reset_prefix_cache?reset_running_requests=true")
        self._control("POST", "/update_weight_version", {"new_version": str(version)})
        self._control("POST", "/resume")
        found = self._control("GET", "/weight_info").get("weight_version")
        if found != str(version):
            raise EndpointError(
                f"{self.url}: has weights of version {found} after being given {version}; {self.where_to_look()}"
            )

    def take_adapter(self, folder: Path, version: int) -> None:
        """Load adapters, as ``adapter_name(version)``. Raises EndpointError if that fails."""
        self.drop_adapter(version)  # of an earlier run, or from before it was started again
        body = {"lora_name": adapter_name(version), "lora_path": str(folder)}
        self._control("POST", "/v1/load_lora_adapter", body)

    def drop_adapter(self, version: int) -> None:
        """Forget adapters, if it has them."""
        with suppress(EndpointError):
            self._control("POST", "/v1/unload_lora_adapter", {"lora_name": adapter_name(version)})

    def is_ours(self) -> bool:
        """Whether it can be started again."""
        return self._launch is not None

    def restart(self, model: Path) -> None:
        """End what is left of it, and start it anew with the weights of a folder."""
        self.stop()
        self.start(model)
        self.wait()

    def stop(self) -> None:
        """End it and all its processes."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        for number, seconds in ((signal.SIGTERM, _END_SECONDS), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = httpx2.request(
                method, f"{self.url}{path}", json=body, timeout=self._settings.request_seconds, trust_env=False
            )
        except httpx2.HTTPError as error:
            raise EndpointError(
                f"{self.url}{path}: no answer ({type(error).__name__} {error}); {self.where_to_look()}"
            ) from error
        if answer.status_code != 200:
            raise EndpointError(
                f"{self.url}{path}: status {answer.status_code}: {answer.text[:300]!r}; {self.where_to_look()}"
            )
        found: Any = json.loads(answer.text) if answer.text.startswith("{") else {}
        return found if isinstance(found, dict) else {}

    def where_to_look(self) -> str:
        """What tells more when it fails."""
        return (
            f"see {self._launch.log}" if self._launch else "see its log, and that VLLM_SERVER_DEV_MODE=1 is set there"
        )


def _own_variables() -> dict[str, str]:
    """Ours without what belongs to our own environment and ranks."""
    mixed = (
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "RANK",
        "WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "LOCAL_RANK",
    )
    return {
        name: value for name, value in os.environ.items() if name not in mixed and not name.startswith("TORCHELASTIC")
    }


def shared_memory_folder(name: str) -> Path:
    """A new folder for weights, in memory where the system offers that."""
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")
    folder = place / f"thinkwright-{name}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder
