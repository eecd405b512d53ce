"""``install-vllm``: the environment that vLLM samples in."""

import argparse
from pathlib import Path
from typing import Any


def add_install_verb(verbs: Any) -> None:
    """Add it to the parser."""
    install = verbs.add_parser("install-vllm", help="make the environment that [rollout.vllm] starts its servers in")
    install.add_argument(
        "--environment", type=Path, default=Path(".venv-vllm"), metavar="FOLDER", help="default .venv-vllm"
    )
    install.set_defaults(verb=_install)


def _install(options: argparse.Namespace) -> int:
    import torch

    from thinkwright.rollout.vllm.install import install_vllm

    version = install_vllm(options.environment, has_gpu=torch.cuda.is_available())
    print(f"vLLM {version} in {options.environment}; recipes find it by rollout.vllm.environment")
    return 0
