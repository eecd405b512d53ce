"""A teacher that answers as vLLM's OpenAI server does, its log-probabilities computed by a real model."""

import threading
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.models.served import Answer


def vllm_answers(folder: Path) -> Answer:
    """``completions`` with ``prompt_logprobs``: the model of the folder under transformers' own attention.

    The form is that of ``CompletionResponseChoice.prompt_logprobs`` in vLLM's protocol: an entry a token, null for the
    first, else the sent token's id with its Logprob.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lock = threading.Lock()

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str]:
        assert path == "/v1/completions"
        assert (body["max_tokens"], body["prompt_logprobs"]) == (1, 0)
        ids = body["prompt"]
        if len(ids) + 1 > model.config.max_position_embeddings:
            return 400, "This model's maximum context length is too short"
        with lock, torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1], -1)
        chosen = logprobs.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        ranks = (logprobs > chosen[:, None]).sum(-1) + 1
        rows = zip(ids[1:], chosen.tolist(), ranks.tolist(), strict=True)
        entries = [
            {str(token): {"logprob": logprob, "rank": rank, "decoded_token": tokenizer.decode([token])}}
            for token, logprob, rank in rows
        ]
        choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": [None, *entries]}
        return 200, {"object": "text_completion", "choices": [choice]}

    return answer
