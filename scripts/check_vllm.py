"""vLLM loads an exported folder by itself and is asked the tiny world's held-out questions beside our own engine.

    python scripts/check_vllm.py FOLDER --template NAME [--questions N]

FOLDER: what ``thinkwright export MODEL --to hf`` wrote; ``--template``: how the model was asked in training. Needs
.venv-bench-vllm (``bench/make_envs.sh vllm``), in which this file runs once more. Greedy replies in float32: they must
be ours token for token, or part at a token that our model, too, ranks within 0.02 of the logits' spread of the best.
Status 1 otherwise, if vLLM samples by other defaults than R1's, or if the chat template it renders is another prompt.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-bench-vllm" / "bin" / "python"
MAX_TOKENS = 192
MAX_GAP = 0.02
"""A token's logit below the best, as a share of the spread: what different orders of summation can bring in float32."""


def main() -> int:
    """Print the figures; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--template", required=True)
    parser.add_argument("--questions", type=int, default=256)
    options = parser.parse_args()
    if not PYTHON.exists():
        raise SystemExit(f"{PYTHON}: is missing; make it with: sh bench/make_envs.sh vllm")
    from thinkwright.config.tasks import TinyWorldTask
    from thinkwright.tasks.prompts import load_task

    prompts = load_task(TinyWorldTask(type="tiny_world"), options.template).held_out[: options.questions]
    found = _ask_vllm(options.folder, [(prompt.question, prompt.text) for prompt in prompts])
    return _compare(options.folder, [prompt.text for prompt in prompts], found)


def _ask_vllm(folder: Path, questions: list[tuple[str, str]]) -> dict[str, Any]:
    """What ``_in_vllm`` found, in a process of vLLM's environment."""
    with tempfile.TemporaryDirectory() as place:
        asked, told = Path(place) / "asked.json", Path(place) / "told.json"
        asked.write_text(json.dumps({"folder": str(folder.resolve()), "questions": questions}), encoding="utf-8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
        subprocess.run([str(PYTHON), __file__, "--inside", str(asked), str(told)], env=environment, check=True)
        return json.loads(told.read_text(encoding="utf-8"))


def _in_vllm(asked: Path, told: Path) -> None:
    """Greedy replies, sampling defaults and rendered prompts, by nothing but the folder and vLLM."""
    import vllm

    wanted = json.loads(asked.read_text(encoding="utf-8"))
    # Little memory (of the processor's, despite the name), and no compiling, which takes longer than the replies.
    small = {"gpu_memory_utilization": 0.1, "kv_cache_memory_bytes": 256 << 20, "max_num_seqs": 64}
    engine = vllm.LLM(wanted["folder"], dtype="float32", enforce_eager=True, **small)
    defaults = engine.get_default_sampling_params()
    tokenizer = engine.get_tokenizer()
    rendered = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        for question, _ in wanted["questions"]
    ]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in rendered]
    params = vllm.SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS)
    outputs = engine.generate([{"prompt_token_ids": one} for one in ids], params, use_tqdm=False)
    found = {
        "version": vllm.__version__,
        "temperature": defaults.temperature,
        "top_p": defaults.top_p,
        "prompts": rendered,
        "replies": [list(output.outputs[0].token_ids) for output in outputs],
    }
    told.write_text(json.dumps(found), encoding="utf-8")


def _compare(folder: Path, prompts: list[str], found: dict[str, Any]) -> int:
    import torch

    from thinkwright.export.llama_cpp import token_gaps
    from thinkwright.models.policy import load_policy
    from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
    from thinkwright.rollout.native import NativeEngine

    policy = load_policy(str(folder), device=torch.device("cpu"), dtype=torch.float32)
    ids = [tuple(policy.tokenizer.encode(text, add_special_tokens=False)) for text in prompts]
    settings = SamplingSettings(1, MAX_TOKENS, 1.0, seed=0, step=0, top_k=1)
    requests = [RolloutRequest(str(number), one) for number, one in enumerate(ids)]
    ours = [list(group[0].token_ids) for group in NativeEngine(policy, 256).generate(requests, settings)]
    theirs = found["replies"]
    num_same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    gaps = [gap for one, reply in zip(ids, theirs, strict=True) for gap in token_gaps(policy, list(one), reply)]
    promises = {
        "the chat template gives the prompts of training": found["prompts"] == prompts,
        "vLLM samples as R1 unless told otherwise": (found["temperature"], found["top_p"]) == (0.6, 0.95),
        f"every token of vLLM's within {MAX_GAP} of our best": max(gaps) <= MAX_GAP,
    }
    print(
        f"vLLM {found['version']}: {num_same} of {len(ours)} greedy replies are ours token for token; of {len(gaps)} "
        f"tokens {sum(gap == 0 for gap in gaps)} are our best, the others within {max(gaps):.4f} of the spread"
    )
    broken = [promise for promise, is_kept in promises.items() if not is_kept]
    print(f"NOT KEPT: {'; '.join(broken)}" if broken else "Every promise kept.")
    return 1 if broken else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _in_vllm(*map(Path, sys.argv[2:]))
    else:
        sys.exit(main())
