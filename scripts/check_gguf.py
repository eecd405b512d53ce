"""Asks llama.cpp the tiny world's held-out questions from GGUF files of every type, beside our own engine.

    python scripts/check_gguf.py MODEL [--template NAME] [--questions N]

Needs the packages gguf and xllamacpp. Greedy replies. The first table holds accuracy by type, its difference to ours
question by question with a 95 % interval, and how many replies are ours word for word; the second what each way to
leave out the thought brings (our engine). Then llama.cpp's own server is asked through its chat interface, with the
thought, and greeted with the thought off: a model that thought about every question it was trained on does so about
these whatever it is told, and about a greeting it need not. The last line says whether the promises are kept: q8_0
within 1 point of our accuracy, f16 within half a point, and the thought always told apart.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from thinkwright.chat.formats import THOUGHT_OFF
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.rewards import RewardWeights
from thinkwright.config.tasks import TinyWorldTask
from thinkwright.evaluation.estimators import Estimate, estimate_difference
from thinkwright.evaluation.figures import Sample, figures_of, samples_of
from thinkwright.export.gguf import check_gguf, file_name, write_gguf
from thinkwright.export.llama_cpp import LlamaServer, serve
from thinkwright.export.run_export import TYPES, gguf_model
from thinkwright.export.subject import Subject, find_subject, load_subject
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import score_groups
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.native import NativeEngine
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.tiny_world.talk import make_small_talk
from thinkwright.types import Prompt, Rollout

MAX_TOKENS = 192
NUM_SLOTS = 8
OFF = (THOUGHT_OFF, " <think></think>", " <think>\n\n</think>\n\n", " </think>")
"""Ways to leave out the thought, as what the reply begins with."""
Replies = list[tuple[Prompt, str, int]]
"""Prompt, text and number of tokens."""


def main() -> int:
    """Print the tables; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--template")
    parser.add_argument("--questions", type=int, default=256)
    options = parser.parse_args()
    source, config = find_subject(options.model)
    subject = load_subject(source, config, None, options.template)
    prompts = load_task(TinyWorldTask(type="tiny_world"), subject.chat.name).all_prompts()[: options.questions]
    with WorkerPool(2) as pool, tempfile.TemporaryDirectory() as folder:
        ours = _native(subject, prompts)
        right = _right(ours, pool)
        print(f"{len(prompts)} questions, greedy, at most {MAX_TOKENS} tokens\n")
        print("| weights | MiB | right answers | difference, points | replies as ours |\n|---|---|---|---|---|")
        print(f"| our engine | | {fmean(right):.1%} | | |", flush=True)
        differences: dict[str, Estimate] = {}
        for file_type in TYPES:
            path = _write(subject, file_type, Path(folder))
            with serve(path, num_slots=NUM_SLOTS) as server:
                theirs = _greedy(server, subject, prompts)
            found = _right(theirs, pool)
            differences[file_type] = estimate_difference(found, right)
            same = sum(a[1] == b[1] for a, b in zip(ours, theirs, strict=True))
            size = path.stat().st_size / 2**20
            row = f"{fmean(found):.1%} | {_points(differences[file_type])} | {same}"
            print(f"| {file_type} | {size:.1f} | {row} |", flush=True)
        _print_without_thought(subject, prompts, pool)
        kept = _chat(subject, Path(folder), prompts, pool)
    promises = {
        "q8_0 within 1 point": abs(differences["q8_0"].mean) <= 0.01,
        "f16 within half a point": abs(differences["f16"].mean) <= 0.005,
        "thought told apart": kept,
    }
    broken = [promise for promise, is_kept in promises.items() if not is_kept]
    print(f"NOT KEPT: {'; '.join(broken)}" if broken else "Every promise kept.")
    return 1 if broken else 0


def _write(subject: Subject, file_type: str, folder: Path) -> Path:
    model = gguf_model(subject, file_type, None)
    path = folder / file_name(model)
    write_gguf(model, path)
    check_gguf(model, path)
    return path


def _native(subject: Subject, prompts: tuple[Prompt, ...], start: str = "") -> Replies:
    policy = subject.policy
    encode = policy.tokenizer.encode
    requests = [
        RolloutRequest(
            prompt.prompt_id,
            tuple(encode(prompt.text, add_special_tokens=False)),
            forced_start=tuple(encode(start, add_special_tokens=False)) if start else (),
        )
        for prompt in prompts
    ]
    # The engine draws; at this temperature the likeliest token has all of the probability.
    settings = SamplingSettings(1, MAX_TOKENS, 1e-4, seed=0, step=0)
    groups = NativeEngine(policy, 256).generate(requests, settings)
    return [(p, group[0].text, len(group[0].token_ids)) for p, group in zip(prompts, groups, strict=True)]


def _greedy(server: LlamaServer, subject: Subject, prompts: tuple[Prompt, ...]) -> Replies:
    tokenizer, ends = subject.policy.tokenizer, set(subject.policy.end_ids)

    def ask(prompt: Prompt) -> tuple[Prompt, str, int]:
        ids = server.greedy(tokenizer.encode(prompt.text, add_special_tokens=False), MAX_TOKENS)
        return prompt, tokenizer.decode([token for token in ids if token not in ends]), len(ids)

    with ThreadPoolExecutor(NUM_SLOTS) as threads:
        return list(threads.map(ask, prompts))


def _figures(replies: Replies, pool: WorkerPool) -> dict[str, Any]:
    return figures_of(_samples(replies, pool))


def _right(replies: Replies, pool: WorkerPool) -> list[float]:
    return [float(row["is_correct"]) for row in _samples(replies, pool)]


def _samples(replies: Replies, pool: WorkerPool) -> list[Sample]:
    groups = [(prompt, (), [_rollout(text, length)]) for prompt, text, length in replies]
    return samples_of(score_groups(groups, RewardWeights(), pool))


def _points(difference: Estimate) -> str:
    return f"{100 * difference.mean:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def _rollout(text: str, length: int) -> Rollout:
    zeros = (0.0,) * length
    return Rollout((0,) * length, zeros, zeros, (False,) * length, text, "stop", 0)


def _print_without_thought(subject: Subject, prompts: tuple[Prompt, ...], pool: WorkerPool) -> None:
    print("\n| the reply begins with | right answers | opens another thought | tokens |\n|---|---|---|---|")
    for start in ("", *OFF):
        replies = _native(subject, prompts, start)
        figures = _figures(replies, pool)
        again = sum(text.removeprefix(start).count("<think>") > 0 for _, text, _ in replies) / len(replies)
        row = f"| {start!r} | {figures['accuracy']:.1%} | {again:.1%} | {figures['mean_response_tokens']:.1f} |"
        print(row, flush=True)


def _chat(subject: Subject, folder: Path, prompts: tuple[Prompt, ...], pool: WorkerPool) -> bool:
    """Whether llama.cpp's server puts no tag of a thought into an answer, and none apart where none is wanted.

    With the thought off, a tag within the answer is the model's own word; how many there are is told.
    """
    greetings = [make_small_talk(Random(i), 1, language).question for i in range(40) for language in ("en", "zh")]
    path = _write(subject, "f16", folder)
    template, is_kept = TEMPLATES[subject.chat.name], True
    with serve(path, num_slots=NUM_SLOTS) as server:
        for is_on in (True, False):
            settings = {
                "max_tokens": MAX_TOKENS,
                "temperature": 0.0,
                "chat_template_kwargs": {"enable_thinking": is_on},
            }

            def ask(question: str, settings: dict[str, Any] = settings) -> dict[str, Any]:
                return server.chat([{"role": "user", "content": question}], **settings)["message"]

            questions = [prompt.question for prompt in prompts] if is_on else list(dict.fromkeys(greetings))
            with ThreadPoolExecutor(NUM_SLOTS) as threads:
                found = list(threads.map(ask, questions))
            thoughts = [message.get("reasoning_content") or "" for message in found]
            answers = [message.get("content") or "" for message in found]
            num_thoughts = sum(bool(thought.strip()) for thought in thoughts)
            num_leaks = sum("think>" in answer for answer in answers)
            is_kept &= num_leaks == 0 if is_on else num_thoughts == 0
            right = ""
            if is_on:  # graded as a reply with a thought of some word, so that only the answer decides
                replies = [
                    (replace(prompt), template.prefill + template.write("so", _bare(answer)), len(answer))
                    for prompt, answer in zip(prompts, answers, strict=True)
                ]
                right = f"{_figures(replies, pool)['accuracy']:.1%} right, "
            print(
                f"\nchat, enable_thinking={is_on}: {len(found)} questions, {right}{num_thoughts} thoughts, {num_leaks} "
                f"answers with a tag of a thought; for instance {found[0]}"
            )
    return is_kept


def _bare(answer: str) -> str:
    return answer.replace("<answer>", "").replace("</answer>", "").strip()


if __name__ == "__main__":
    sys.exit(main())
