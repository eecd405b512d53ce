"""Models for the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.model_folders import KINDS, write_model_folder
from thinkwright.models.policy import Policy, load_policy


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a kind of model, made once per test session."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = write_model_folder(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder_of


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest, model_folder: Callable[[str], Path]) -> Policy:
    """A policy of each kind, fp32 on the CPU."""
    return load_policy(str(model_folder(request.param)), device=torch.device("cpu"), dtype=torch.float32)
