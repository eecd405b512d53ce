"""Makes the environment that vLLM lives in, so that its pins and ours never meet."""

import shutil
import subprocess
import sys
from pathlib import Path

from thinkwright.errors import ModelError

CPU_LIST = Path(__file__).with_name("requirements-cpu.txt")
"""All packages of the CPU build. vLLM asks for torchvision, torchaudio and torchcodec, whose builds do not fit the CPU
build of torch; it runs without them."""
CUDA_REQUIREMENT = "vllm>=0.32,<0.34"


def install_vllm(folder: Path, *, has_gpu: bool) -> str:
    """Make the environment and install vLLM in it; returns its version. Raises ModelError if that fails."""
    if (folder / "bin" / "python").exists():
        raise ModelError(f"{folder}: exists already; remove it to make it anew")
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if has_gpu:
            _run(*pip, CUDA_REQUIREMENT)
        else:
            _run(*pip, "--no-deps", "--requirement", str(CPU_LIST))
        return _run(str(folder / "bin" / "python"), "-c", "import vllm; print(vllm.__version__)").splitlines()[-1]
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        told = getattr(error, "stderr", None) or str(error)
        raise ModelError(f"{folder}: vLLM cannot be installed: {told.strip()[-2000:]}") from error


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
