"""Decoding by CUDA graphs draws what decoding without them draws."""

import pytest
import torch

from tests.rollout.test_native import REQUESTS, SETTINGS, tokens_of
from thinkwright.models.policy import load_policy
from thinkwright.rollout import cuda_graphs
from thinkwright.rollout.native import NativeEngine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_recorded_steps_draw_the_same_tokens(model_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy(str(model_folder("qwen3")), device=torch.device("cuda"), dtype=torch.float32)
    recorded = tokens_of(NativeEngine(policy).generate(REQUESTS, SETTINGS))
    monkeypatch.setattr(cuda_graphs, "RECORD_AT_USE", 10**9)
    assert tokens_of(NativeEngine(policy).generate(REQUESTS, SETTINGS)) == recorded
