"""llama.cpp itself, from the package xllamacpp, as a check by someone else of what was written. Needed by nothing."""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import torch

from thinkwright.errors import ModelError
from thinkwright.export.gguf import GgufModel
from thinkwright.models.policy import Policy

# llama.cpp multiplies f16 weights with activations that it rounds to f16, and bf16 ones likewise, so its logits are
# near ours, not equal. Taking another token than ours is allowed where ours ranks it within this share of the spread of
# all logits below the best.
_TOLERANCE = {"f32": 0.02, "f16": 0.1, "bf16": 0.3}
_QUESTIONS = ("What is 12 + 7 - 3?", "小明有3个苹果，又买了5个，现在有几个？", "Hello! Who are you?")
_NUM_TOKENS = 24
_TIMEOUT_SECONDS = 300.0


def is_installed() -> bool:
    """Whether xllamacpp can be imported."""
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaServer:
    """llama.cpp's HTTP server with one model, in this process."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    @property
    def address(self) -> str:
        """``http://...``, for other clients."""
        return str(self._client.base_url).rstrip("/")

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text; special tokens written in it are read as such, as transformers does."""
        return self._post("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]

    def greedy(self, ids: Sequence[int], num_tokens: int) -> list[int]:
        """The likeliest tokens after ``ids``, one by one, the end included."""
        body = {"prompt": list(ids), "n_predict": num_tokens, "temperature": 0.0, "return_tokens": True}
        return self._post("/completion", {**body, "cache_prompt": False})["tokens"]

    def chat(self, messages: list[dict[str, str]], **settings: Any) -> dict[str, Any]:
        """The first choice of a chat completion."""
        return self._post("/v1/chat/completions", {"messages": messages, **settings})["choices"][0]

    def prompt(self, messages: list[dict[str, str]], **settings: Any) -> str:
        """What the chat template in the file makes of messages."""
        return self._post("/apply-template", {"messages": messages, **settings})["prompt"]

    def defaults(self) -> dict[str, Any]:
        """How it samples unless a request says otherwise."""
        return self._read("/props", self._client.get("/props"))["default_generation_settings"]["params"]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._read(path, self._client.post(path, json=body))

    @staticmethod
    def _read(path: str, response: httpx2.Response) -> Any:
        if response.status_code != 200:
            raise ModelError(f"llama.cpp refuses {path}: {response.text[:300]}")
        return response.json()


@contextlib.contextmanager
def serve(path: Path, *, num_positions: int = 1024, num_slots: int = 1, num_threads: int = 1) -> Iterator[LlamaServer]:
    """Load a GGUF file. Raises ModelError if llama.cpp cannot."""
    xllamacpp: Any = importlib.import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = num_positions * num_slots
    params.n_parallel = num_slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = num_threads
    params.port = 0
    params.warmup = False
    params.verbosity = -1
    try:
        server = xllamacpp.Server(params)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path.name}: llama.cpp cannot load it ({error}); please report this") from error
    with httpx2.Client(base_url=server.listening_address, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        yield LlamaServer(client)
    del server


@dataclass(frozen=True)
class GreedyComparison:
    """What llama.cpp's likeliest tokens were beside ours."""

    num_tokens: int
    num_equal: int
    """That our model ranks first, too, after the same tokens."""
    largest_gap: float
    """Logits below the best at the others, as a share of the logits' spread."""

    def line(self) -> str:
        """In words."""
        if self.num_equal == self.num_tokens:
            return f"llama.cpp: all {self.num_tokens} greedy tokens are ours"
        return (
            f"llama.cpp: {self.num_equal} of {self.num_tokens} greedy tokens are ours, the others within "
            f"{self.largest_gap:.2g} of the logits' spread"
        )


def compare_greedy(model: GgufModel, path: Path) -> GreedyComparison:
    """Let llama.cpp continue a few prompts and see how our model ranks what it took.

    Raises ModelError where an exact type's tokens are not ours. Quantized ones are only counted: how much a model bears
    is for an evaluation to say.
    """
    example = model.chat.prompt_example
    prompts = [example[1].replace(example[0], question) for question in _QUESTIONS] if example else list(_QUESTIONS)
    gaps: list[float] = []
    with serve(path, num_positions=min(model.layout.max_positions, 1024)) as server:
        for prompt in prompts:
            ids = list(model.policy.encode(prompt))
            if server.tokenize(prompt) != ids:
                raise ModelError(f"{path.name}: llama.cpp splits a prompt into other tokens; please report this")
            gaps += token_gaps(model.policy, ids, server.greedy(ids, _NUM_TOKENS))
    found = GreedyComparison(len(gaps), sum(gap == 0 for gap in gaps), max(gaps, default=0.0))
    # A model kept in bf16 is also computed in bf16 on our side.
    allowed = _TOLERANCE.get(model.file_type, float("inf"))
    if found.largest_gap > (allowed if model.policy.dtype == torch.float32 else max(allowed, _TOLERANCE["bf16"])):
        raise ModelError(f"{path.name}: {found.line()}, which is too far; please report this")
    return found


@torch.no_grad()
def token_gaps(policy: Policy, ids: list[int], taken: list[int]) -> list[float]:
    """By how much the logit of each token taken is below the best, in standard deviations of the logits there."""
    if not taken:
        return []
    model = policy.model
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        logits = model(input_ids=torch.tensor([ids + taken[:-1]]), use_cache=False).logits[0, len(ids) - 1 :].float()
    finally:
        model.set_attn_implementation(attention)
    chosen = logits.gather(1, torch.tensor(taken)[:, None])[:, 0]
    return ((logits.amax(1) - chosen) / logits.std(1)).tolist()
