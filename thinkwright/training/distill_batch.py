"""What on-policy distillation learns from: the student's completions, packed prompt by prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from thinkwright.models.token_tree import TokenTree, pack, shared_prefix
from thinkwright.types import Rollout


@dataclass(frozen=True)
class TaughtSample:
    """One completion of the student. Those of one prompt stand side by side in every list."""

    prompt_ids: tuple[int, ...]
    completion: tuple[int, ...]
    """Sampled tokens, the end token included when there is one."""
    rollout_logprobs: tuple[float, ...]
    """Log-probability of each token under the distribution it was drawn from."""
    old_logprobs: tuple[float, ...]
    """Log-probability of each token under the student that drew it, at temperature 1."""
    teacher_logprobs: tuple[float, ...] = ()
    """Log-probability of each token under a served teacher; a local one is not asked for it."""


def taught_samples(prompt_ids: tuple[int, ...], rollouts: Sequence[Rollout], num_tokens: int) -> list[TaughtSample]:
    """The completions of one prompt, truncated ones too, as far as their ids are below ``num_tokens``.

    A head may have more rows than the teacher knows tokens; should the student draw such an id, the teacher cannot
    read on, so the completion is learned from up to there.
    """
    samples: list[TaughtSample] = []
    for rollout in rollouts:
        known = next((i for i, token in enumerate(rollout.token_ids) if token >= num_tokens), len(rollout.token_ids))
        if known:
            ids, logprobs, old = rollout.token_ids, rollout.logprobs, rollout.untempered_logprobs
            samples.append(TaughtSample(prompt_ids, ids[:known], logprobs[:known], old[:known]))
    return samples


def sample_batches(samples: Sequence[TaughtSample], max_tokens: int) -> Iterator[list[TaughtSample]]:
    """The samples in order, as many together as keep the tokens packed in one row within ``max_tokens``, one at least.

    A prompt counts once for all its samples in a micro-batch, and what all prompts begin with once for the micro-batch.
    """
    shared = shared_prefix([sample.prompt_ids for sample in samples])
    batch: list[TaughtSample] = []
    num_tokens = shared
    for sample in samples:
        whole = len(sample.prompt_ids) - shared + len(sample.completion)
        is_next_of_prompt = bool(batch) and batch[-1].prompt_ids == sample.prompt_ids
        size = len(sample.completion) if is_next_of_prompt else whole
        if batch and num_tokens + size > max_tokens:
            yield batch
            batch, num_tokens, size = [], shared, whole
        batch.append(sample)
        num_tokens += size
    if batch:
        yield batch


def sample_tree(samples: Sequence[TaughtSample]) -> TokenTree:
    """The samples packed into one row, each prompt once."""
    prompts = groupby(samples, key=lambda sample: sample.prompt_ids)
    return pack([(prompt_ids, [sample.completion for sample in group]) for prompt_ids, group in prompts])


def num_taught(samples: Sequence[TaughtSample]) -> int:
    """Tokens that the loss is taken of."""
    return sum(len(sample.completion) for sample in samples)
